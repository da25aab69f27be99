"""Foreign records: which feature is the image, and which ones are labels."""

from __future__ import annotations

import operator
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from reader.foreign.decode import Fit
from reader.foreign.label_bytes import LabelBytes
from reader.foreign.raw_pixels import UINT8, RawPixels
from reader.foreign.source_memory import budget_of
from shardio.cached_property import cached_property
from shardio.errors import UnsupportedRecordError
from shardio.examples.example import BYTES, INT64, Feature, bytes_in
from shardio.examples.example import FLOAT as FLOATS
from shardio.format.label import CLASS, MAX_LABEL, LabelKind, numbers_of
from shardio.format.layout import MAX_ROW

# More threads that decode images than this only fight for the interpreter.
DECODERS = min(len(os.sched_getaffinity(0)), 16)
# What a thread reads at once, and copies of an image: Pillow's, of four bytes a pixel, and two that
# are on the way to the batch.
_DECODER = 1 << 20
_DECODED = 4


@dataclass(frozen=True)
class ForeignLayout:
    """Records that are a `tf.train.Example` of any kind, found by an index.

    `image` is the feature with the image, of `shape` (height, width, channels): `encoded` as PNG,
    JPEG or WebP, or `raw` pixels. `labels` are the features with the labels, `kinds` what each of
    them is, one integer if nothing is said; `row` is the one with the row; without it the row of a
    record is its number in the set. `strange` are features that no record may hold, because the
    first one does not, and the labels would be others. `record_bytes` is the mean size of a record,
    `longest` are those of the largest ones, and `index_bytes` is what the index takes. A label that
    is not there, or -1, is the class `missing`. Images of other sizes are resized as `fit` says.
    `read_as` says of each label how it is read, if it is bytes; without it none is. `source_pixels`
    are those of the first image, where all are resized.
    """

    image: str
    labels: tuple[str, ...]
    shape: tuple[int, int, int]
    encoded: bool
    row: str | None = None
    strange: frozenset[str] = frozenset()
    record_bytes: int = 0
    index_bytes: int = 0
    kinds: tuple[LabelKind, ...] = ()
    missing: int | None = None
    fit: Fit | None = None
    read_as: tuple[LabelBytes | None, ...] = ()
    source_pixels: int = 0
    raw: RawPixels = UINT8
    longest: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not self.kinds:
            object.__setattr__(self, "kinds", (CLASS,) * len(self.labels))

    @property
    def numbers(self) -> int:
        """How many numbers a record holds: the values of its labels, and the row."""
        return sum(kind.length for kind in self.kinds) + 1

    @property
    def image_bytes(self) -> int:
        """How many values an image has, which as uint8 are its bytes."""
        height, width, channels = self.shape
        return height * width * channels

    @property
    def image_dtype(self) -> Literal["uint8", "float32"]:
        """What images are before they are scaled: floats stay as they are."""
        return "float32" if self.raw.is_float else "uint8"

    @property
    def stride(self) -> int:
        """What a record takes while it is read: its bytes, and its pixels where they are others."""
        return self.record_bytes + (self.image_bytes if self.encoded else 0)

    def decoders_bytes(self, threads: int) -> int:
        """What threads own that read neighbours, and decode one after the other."""
        longer = sum(max(0, size - _DECODER) for size in self.longest[:threads])
        return threads * (_DECODER + self._decoded_bytes) + longer

    @property
    def sources_bytes(self) -> int:
        """What images take that are resized, while they are decoded; a larger one is bounded."""
        return 0 if self.fit is None else budget_of(self.source_pixels, DECODERS)

    def requests_bytes(self, threads: int) -> int:
        """What threads own that read one record each with a request, and decode it."""
        return threads * self._decoded_bytes + sum(self.longest[:threads])

    @property
    def _decoded_bytes(self) -> int:
        height, width, channels = self.shape
        return _DECODED * height * width * max(3, channels) if self.encoded else 0

    @property
    def choice(self) -> tuple[object, ...]:
        """Which of all that the records hold is read, and as what."""
        said = self.missing, self.fit, *self.read_as
        more = () if said == (None, None) else said
        pixels = () if self.raw == UINT8 else (self.raw.dtype,)
        return self.image, self.labels, self.shape, self.encoded, self.row, *more, *pixels

    @cached_property
    def names(self) -> frozenset[str]:
        """The features that are looked at."""
        return self.strange.union([self.image, *self.labels, *([self.row] if self.row else [])])

    def image_of(self, features: Mapping[str, Feature]) -> memoryview:
        """Return the image of a record, encoded or raw.

        Raises UnsupportedRecordError where there is none.
        """
        return image_of(features, self.image)

    def integers_of(self, features: Mapping[str, Feature], number: int) -> list[int]:
        """Return the numbers of a record: its labels and its row, `number` if it holds none.

        Raises UnsupportedRecordError for a label that is missing or out of range, or one more.
        """
        others = self.strange.intersection(features)
        if others:
            raise UnsupportedRecordError(
                f"it holds the feature {min(others)!r}, which the first record of the set does "
                "not; say which features are the labels, with labels=[...] or --labels"
            )
        found = []
        read_as = self.read_as or (None,) * len(self.labels)
        for name, kind, how in zip(self.labels, self.kinds, read_as, strict=True):
            if self.missing is not None and kind.is_class and _lacks(features, name):
                found.append(self.missing)
            elif how is not None:
                found += how.numbers(name, bytes_of(features, name, "label"), kind)
            else:
                found += _numbers(features, name, kind)
        found.append(number if self.row is None else _integer(features, self.row, MAX_ROW))
        return found


def _lacks(features: Mapping[str, Feature], name: str) -> bool:
    """Whether a label is not there, has no value, or is the -1 that stands for that."""
    feature = features.get(name)
    if feature is None or not feature.values:
        return True
    return (feature.kind == INT64 and list(feature.values) == [-1]) or (
        feature.kind == BYTES and list(feature.values) == [b""]
    )


def image_of(features: Mapping[str, Feature], name: str) -> memoryview:
    """Return the bytes of a feature with one value, the image."""
    return bytes_of(features, name, "image")


def bytes_of(features: Mapping[str, Feature], name: str, what: str) -> memoryview:
    """Return the bytes of a feature with one value."""
    found = bytes_in(features, name)
    if found is None:
        raise UnsupportedRecordError(
            f"feature {name!r} must be one {what}, not {describe(features.get(name))}"
        )
    return found


def _numbers(features: Mapping[str, Feature], name: str, kind: LabelKind) -> list[int]:
    """Return the values of a label; floats are judged where batches are made."""
    if kind.is_class:
        return [_integer(features, name, MAX_LABEL)]
    feature, wanted = features.get(name), FLOATS if kind.is_float else INT64
    if feature is None or feature.kind != wanted or len(feature.values) != kind.length:
        raise UnsupportedRecordError(f"feature {name!r} must be {kind}, not {describe(feature)}")
    if kind.is_float:
        return list(numbers_of(np.array(feature.values, dtype=np.float32)))
    values = [operator.index(value) for value in feature.values]  # type: ignore[arg-type]
    if not all(0 <= value <= MAX_LABEL for value in values):
        raise UnsupportedRecordError(f"feature {name!r} must be 0 to {MAX_LABEL}, not {values}")
    return values


def _integer(features: Mapping[str, Feature], name: str, most: int) -> int:
    feature = features.get(name)
    if feature is None or feature.kind != INT64 or len(feature.values) != 1:
        lacks = feature is None or not feature.values
        raise UnsupportedRecordError(
            f"feature {name!r} must be one integer, not {describe(feature)}; "
            f"{'missing=N makes it the class N, and ' if lacks else ''}labels=[], or --labels '', "
            "reads the images alone"
        )
    value = operator.index(feature.values[0])  # type: ignore[arg-type]
    if not 0 <= value <= most:
        why = "; -1 mostly stands for no label: missing=N makes it the class N" * (value == -1)
        raise UnsupportedRecordError(
            f"feature {name!r} must be 0 to {most}, not {value}{why}; labels=[], or --labels '', "
            "reads the images alone"
        )
    return value


def describe(feature: Feature | None) -> str:
    """Say what a feature holds."""
    if feature is None:
        return "missing"
    if not feature.kind:
        return "no values"
    count = len(feature.values)
    if feature.kind == BYTES and count == 1:
        return f"{len(feature.values[0]):,} bytes"  # type: ignore[arg-type]
    return f"{count} x {feature.kind}" if count != 1 else feature.kind
