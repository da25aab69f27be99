"""The options of a conversion, and how they are written on a command line."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fractions import Fraction

from converter.table.cells.other_heads import OtherHeads
from converter.table.cells.splits import SplitShares
from converter.table.reading import Reading
from shardio.errors import OptionError
from shardio.format.encoding import Encoding
from shardio.format.label import MAX_LABEL, MAX_LENGTH
from shardio.format.layout import RecordLayout
from shardio.format.naming import MAX_SHARDS
from shardio.format.sequences import length_of
from shardio.format.transform import MAX_PIXELS, Transform

# Of more, Pillow cannot count the bytes of RGBA.
MOST_PIXELS = (1 << 29) - 1


@dataclass(frozen=True, kw_only=True)
class ConvertOptions:
    """Everything, beside the table, that decides the bytes of the shards.

    Raises OptionError for values that cannot be right.
    """

    transform: Transform = field(default_factory=Transform)
    """What is done to each image."""
    labels: tuple[str, ...] | None = None
    """The label columns; None takes every column named y and a number."""
    classes: int | None = None
    """The number of classes of every head; None takes the largest label + 1 of each."""
    shards: int | None = None
    """The number of shards of the whole table; not together with `shard_size`."""
    shard_size: int | None = None
    """Bytes of a shard as raw pixels, whatever the encoding. Without this and `shards` it is some
    256 MB, and less for small tables, so that workers can share them."""
    seed: int = 0
    """Decides the order of the records, and to which split and shard a row goes."""
    strict_decode: bool = False
    """Decode images whole, so that damage below the crop box is found too."""
    max_pixels: int = MAX_PIXELS
    """Images of more pixels are rejected."""
    truncated: bool = False
    """Take images whose end is missing, as far as Pillow decodes them."""
    encoding: Encoding = field(default_factory=Encoding)
    """How images are stored: as pixels, or as PNG, JPEG or WebP files."""
    float_labels: tuple[str, ...] = ()
    """Label columns of floats, one or as many in each row."""
    vectors: tuple[str, ...] = ()
    """Label columns of several integers, as many in each row."""
    sequences: tuple[tuple[str, int], ...] = ()
    """Label columns of texts, kept as the ids of at most so many characters, and their number."""
    text_labels: bool = False
    """Labels are texts, numbered by a vocabulary."""
    vocabulary: tuple[str, ...] | None = None
    """The texts in the order of their classes; None collects them from the table."""
    splits: SplitShares | None = None
    """Shares of the images for each split, for a table without a column `split`."""
    image_column: str | None = None
    """The column of a Parquet table that holds the images themselves."""
    reading: Reading = field(default_factory=Reading)
    """How the table is to be read, where it does not tell by itself."""

    def __post_init__(self) -> None:
        left, top, right, bottom = self.transform.crop or (0, 0, 1, 1)
        for what, width, height in (
            ("crop box", right - left, bottom - top),
            ("size", *(self.transform.size or (1, 1))),
        ):
            if width * height > MAX_PIXELS:
                raise OptionError(
                    f"the {what} of {width}x{height} pixels is above the limit of {MAX_PIXELS}"
                )
        if not 1 <= self.max_pixels <= MOST_PIXELS:
            raise OptionError(
                f"the limit of pixels must be 1 to {MOST_PIXELS}, not {self.max_pixels}"
            )
        if self.encoding.kind == "JPEG" and self.transform.channels == 4:
            raise OptionError(
                f"{self.encoding.name} holds no alpha; store RGBA raw, or as png or webp"
            )
        others = self.other_heads.columns
        RecordLayout(1, others)  # refuses names that no record can hold, or that are there twice
        RecordLayout(1, self.labels or ())
        heads = {*others, *(self.labels or ())}
        for name, length in self.sequences:
            if not 1 <= length <= MAX_LENGTH:
                raise OptionError(
                    f"the length of a sequence must be 1 to {MAX_LENGTH:,}, not {length}: {name}"
                )
            if length_of(name) in heads:
                raise OptionError(f"{length_of(name)} is the length of the sequence {name}")
        if self.sequences and self.text_labels:
            raise OptionError("sequences and text labels would need two vocabularies; choose one")
        for name in heads.intersection((self.reading.path, self.reading.split or "")):
            raise OptionError(f"the column {name} cannot be a label")
        if self.shards is not None and self.shard_size is not None:
            raise OptionError("give the number of shards or their size, not both")
        if self.shards is not None and not 1 <= self.shards <= MAX_SHARDS:
            raise OptionError(f"the number of shards must be 1 to {MAX_SHARDS}, not {self.shards}")
        if self.shard_size is not None and self.shard_size < 1:
            raise OptionError(f"the shard size must be positive, not {self.shard_size}")
        if self.classes is not None and not 1 <= self.classes <= MAX_LABEL + 1:
            raise OptionError(
                f"the number of classes must be 1 to {MAX_LABEL + 1}, not {self.classes}"
            )
        characters = self.reading.characters
        if characters is not None and not self.text_labels:
            raise OptionError("characters are text labels")
        if characters is not None and characters not in (self.labels or (characters,)):
            raise OptionError(f"the column {characters} of characters is not among the labels")
        if self.reading.missing is not None and not self.text_labels:
            missing = self.reading.missing_class
            if missing is None or not 0 <= missing <= MAX_LABEL:
                raise OptionError(
                    f"the class of missing labels must be 0 to {MAX_LABEL}, not "
                    f"{self.reading.missing!r}"
                )
        if self.vocabulary is not None and not self.text_labels and not self.sequences:
            raise OptionError("a vocabulary goes with text labels, or with sequences")
        if characters is not None and characters in others:
            raise OptionError(f"the column {characters} cannot be characters and something else")
        long = [word for word in self.vocabulary or () if len(word) > 1]
        if self.sequences and long:
            raise OptionError(f"the vocabulary of sequences has characters, not {long[0]!r}")
        if self.text_labels and self.classes is not None:
            raise OptionError("the vocabulary says how many classes text labels have")
        if self.image_column in (
            *("", self.reading.path, self.reading.split or ""),
            *heads,
        ):
            raise OptionError(f"the column {self.image_column!r} cannot be the images")
        if not 0 <= self.seed < 2**63:
            raise OptionError(f"the seed must be 0 to 2^63 - 1, not {self.seed}")

    @property
    def other_heads(self) -> OtherHeads:
        """The label columns that are not one integer, or one text, in each row."""
        return OtherHeads(self.float_labels, self.vectors, self.sequences)


@dataclass(frozen=True)
class RejectLimit:
    """How many rows may be rejected: a number, or a share of all rows."""

    number: int | None = None
    share: Fraction = Fraction(1, 100)

    @classmethod
    def parse(cls, text: str) -> RejectLimit:
        """Read `25` or `1%`."""
        match = re.fullmatch(r"(\d{1,18})|(\d{1,3}(?:\.\d{0,18})?)\s*%", text.strip())
        if match is None or Fraction(match[2] or 0) > 100:
            raise OptionError(f"the limit of rejects must be like 25 or 1%, not {text!r}")
        if match[1]:
            return cls(number=int(match[1]))
        return cls(share=Fraction(match[2]) / 100)

    def rows(self, total: int) -> int:
        """Return the number of rows of `total` that may be rejected."""
        return int(total * self.share) if self.number is None else self.number

    def __str__(self) -> str:
        return f"{float(self.share * 100):g}%" if self.number is None else f"{self.number}"


def parse_box(text: str) -> tuple[int, int, int, int] | None:
    """Read `L,T,R,B`, or `none` for the whole image."""
    if text.strip().lower() == "none":
        return None
    match = re.fullmatch(r"\s*,\s*".join([r"(-?\d{1,18})"] * 4), text.strip())
    if match is None:
        raise OptionError(f"a crop box must be LEFT,TOP,RIGHT,BOTTOM or none, not {text!r}")
    return int(match[1]), int(match[2]), int(match[3]), int(match[4])


def parse_size(text: str) -> tuple[int, int]:
    """Read `WIDTHxHEIGHT`."""
    match = re.fullmatch(r"(\d{1,18})\s*[xX]\s*(\d{1,18})", text.strip())
    if match is None:
        raise OptionError(f"a size must be WIDTHxHEIGHT, like 128x32, not {text!r}")
    return int(match[1]), int(match[2])


def parse_colour(text: str) -> tuple[int, int, int]:
    """Read `R,G,B`, each 0 to 255."""
    match = re.fullmatch(r"\s*,\s*".join([r"(\d{1,3})"] * 3), text.strip())
    if match is None or max(map(int, match.groups())) > 255:
        raise OptionError(f"a colour must be R,G,B, each 0 to 255, like 255,255,255, not {text!r}")
    return int(match[1]), int(match[2]), int(match[3])


def parse_range(text: str) -> tuple[float, float]:
    """Read `LOW,HIGH`, two numbers."""
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        raise OptionError(f"a range must be LOW,HIGH, like 0,65535, not {text!r}") from None
    return low, high


def parse_sequences(text: str) -> tuple[tuple[str, int], ...]:
    """Read `NAME:LENGTH`, or several between commas."""
    found = []
    for part in parse_names(text):
        name, _, length = part.rpartition(":")
        if not name or not re.fullmatch("[0-9]{1,9}", length):
            raise OptionError(f"a sequence is NAME:LENGTH, like text:16, not {part!r}")
        found.append((name, int(length)))
    return tuple(found)


def parse_metadata(text: str) -> tuple[str, str]:
    """Read `NAME=VALUE`."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise OptionError(f"metadata is NAME=VALUE, like licence=CC0, not {text!r}")
    return name.strip(), value


def parse_property(text: str) -> tuple[str, str]:
    """Read `spark.name=VALUE`."""
    name, equals, value = text.partition("=")
    if not equals or not name.startswith("spark."):
        raise OptionError(f"a property of Spark is spark.NAME=VALUE, not {text!r}")
    return name, value


def parse_names(text: str) -> tuple[str, ...]:
    """Read names between commas; an empty text is no name."""
    return tuple(name.strip() for name in text.split(",")) if text.strip() else ()
