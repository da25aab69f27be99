"""A head: a label column of a dataset, and how dataset.json describes it."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shardio.format.fields import Fields
from shardio.format.label_kind import CLASS, INT, MAX_LENGTH, NUMBERS, LabelKind, floats_of
from shardio.format.layout import MAX_LABEL
from shardio.grammar import counted

# Numbers of a vector that people are shown.
_SHOWN = 8


@dataclass(frozen=True)
class Label:
    """A head: its name, its number of classes and, for text labels, the text of each class.

    `classes` is 0 where it is not known, and for floats, which have none.
    """

    name: str
    classes: int
    vocabulary: tuple[str, ...] | None = None
    kind: LabelKind = CLASS

    def __str__(self) -> str:
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
