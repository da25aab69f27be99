"""Texts of varying length: a label of the ids of their characters, and one of how many are used.

A column `text` is the heads `text`, whose class 0 is the empty text that fills up, and
`text_length`.
"""

from __future__ import annotations

from collections.abc import Sequence

from shardio.format.label import Label


def length_of(head: str) -> str:
    """Return the name of the head that says how many ids of another one are used."""
    return f"{head}_length"


def sequences_of(labels: Sequence[Label]) -> dict[str, str]:
    """Return the heads that are such texts, each with that of its length."""
    classes = {label.name for label in labels if label.kind.is_class}
    return {
        label.name: length_of(label.name)
        for label in labels
        if label.is_sequence and length_of(label.name) in classes
    }


def without_lengths(labels: Sequence[Label]) -> list[Label]:
    """Return the labels but for lengths, which everyone sees of the texts."""
    lengths = set(sequences_of(labels).values())
    return [label for label in labels if label.name not in lengths]
