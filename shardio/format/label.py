"""A head: a label column of a dataset, what its values are, and how dataset.json describes it.

A value is an integer or a float; a label has one of them or a vector.

| `number` | a value                             | in a record                      |
|----------|-------------------------------------|----------------------------------|
| `int`    | 0 to 2^31 - 1; a class, or an id    | a varint, padded to five bytes   |
| `float`  | a finite float32                    | its four bytes                   |

All values of a record, the row last, are its *numbers*: int64, where a float is its 32 bits. So
whatever moves numbers about (blocks, batches, tables) need not know what they are.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shardio.format.fields import Fields
from shardio.grammar import counted

INT, FLOAT = "int", "float"
NUMBERS = (INT, FLOAT)
# Of the values of one label; far more than boxes and texts have.
MAX_LENGTH = 65_535
MAX_LABEL = 2**31 - 1

_EXPONENT = 0x7F80_0000
# Numbers of a vector that people are shown.
_SHOWN = 8


class LabelKind(NamedTuple):
    """What the values of a label are, and how many there are; one is a scalar, not a vector."""

    number: str = INT
    length: int = 1

    @property
    def is_float(self) -> bool:
        """Whether the values are floats."""
        return self.number == FLOAT

    @property
    def is_class(self) -> bool:
        """Whether it is a single integer."""
        return self == (INT, 1)

    def __str__(self) -> str:
        word = "float" if self.is_float else "integer"
        return word if self.length == 1 else f"{self.length:,} {word}s"


# What labels mostly are.
CLASS = LabelKind()


def columns_of(kinds: Sequence[LabelKind]) -> list[slice]:
    """Return which of a record's numbers are those of each label."""
    ends = accumulate(kind.length for kind in kinds)
    return [slice(end - kind.length, end) for end, kind in zip(ends, kinds, strict=True)]


def numbers_of(floats: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return floats as numbers."""
    return np.ascontiguousarray(floats, dtype="<f4").view("<u4").astype(np.int64)


def floats_of(numbers: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the floats that numbers are."""
    return numbers.astype("<u4", order="C").view("<f4").astype(np.float32, copy=False)


def are_finite(numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which of the numbers of floats are finite ones."""
    fits = (numbers >= 0) & (numbers < 2**32)
    return np.asarray(fits & (numbers & _EXPONENT != _EXPONENT))


@dataclass(frozen=True)
class Label:
    """A head: its name, its number of classes and, for text labels, the text of each class.

    `classes` is 0 where it is not known, and for floats, which have none.
    """

    name: str
    classes: int
    vocabulary: tuple[str, ...] | None = None
    kind: LabelKind = CLASS

    @property
    def is_sequence(self) -> bool:
        """Whether it is a text of varying length, as the ids of its characters."""
        return (
            self.vocabulary is not None and not self.kind.is_class and self.vocabulary[:1] == ("",)
        )

    def __str__(self) -> str:
        if self.vocabulary is not None and self.is_sequence:
            most = counted(self.kind.length, "character")
            return f"texts of at most {most}, of {len(self.vocabulary) - 1:,} different ones"
        classes = counted(self.classes, "class") if self.classes else "number of classes not known"
        if self.kind.is_class:
            return classes
        return str(self.kind) if self.kind.is_float else f"{self.kind}, {classes}"

    def number_of(self, text: str) -> int | None:
        """Return the class of a text, None where there is none.

        A text that is none of them counts as the converter writes texts: trimmed, in NFC.
        """
        words = self.vocabulary or ()
        for one in (text, unicodedata.normalize("NFC", text.strip())):
            if one in words:
                return words.index(one)
        return None

    def in_words(self, numbers: NDArray[np.integer]) -> str:
        """Return the value of a record for people, from its numbers: `17 (cat)`, or `0.5 1 ...`."""
        if self.vocabulary is not None and not self.kind.is_class:
            return repr("".join(self.vocabulary[number] for number in numbers.tolist()))
        if self.vocabulary is not None:
            label = int(numbers[0])
            return f"{label} ({self.vocabulary[label]})"
        shown = numbers[:_SHOWN].astype(np.int64)
        values = (
            [f"{value:g}" for value in floats_of(shown)] if self.kind.is_float else map(str, shown)
        )
        return " ".join(values) + (" ..." if len(numbers) > _SHOWN else "")

    def to_json(self) -> dict[str, Any]:
        """Return the object that stands in dataset.json."""
        written: dict[str, Any] = {
            "name": self.name,
            "classes": None if self.kind.is_float else self.classes,
            "vocabulary": self.vocabulary,
        }
        # What older sets do not have is written only where it says something.
        if self.kind.number != INT:
            written["kind"] = self.kind.number
        if self.kind.length != 1:
            written["length"] = self.kind.length
        return written

    @classmethod
    def from_fields(cls, fields: Fields) -> Label:
        """Read the object that stands in dataset.json."""
        name = fields.text("name")
        number = fields.text("kind", NUMBERS) if fields.has("kind") else INT
        kind = LabelKind(number or INT, fields.optional_integer("length", 2, MAX_LENGTH) or 1)
        classes, vocabulary = 0, None
        if kind.is_float:
            fields.null("classes")
            fields.null("vocabulary")
        else:
            classes = fields.integer("classes", 1, MAX_LABEL + 1)
            vocabulary = fields.optional_texts("vocabulary")
        fields.close()
        return cls(name, classes, vocabulary, kind)
