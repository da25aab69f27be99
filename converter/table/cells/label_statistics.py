"""What the labels of a table are: counted before anything is converted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converter.table.cells.number_texts import is_numeric, whole_number
from converter.table.scratch import SLICE, slices
from shardio.format.label import Label, columns_of
from shardio.format.sequences import length_of
from shardio.grammar import agreeing, counted

_TRAIN = "train"
_CLASS_BITS = 32
_SHOWN = 3


@dataclass(frozen=True)
class HeadStatistics:
    """The labels of one head: how many classes there are and are seen, and how often."""

    name: str
    classes: int
    seen: int
    lowest: int
    highest: int
    # How many classes are never seen, and the first of them.
    unseen: int
    first_unseen: tuple[str, ...]
    most: tuple[str, int]
    least: tuple[str, int]
    warnings: tuple[str, ...]

    def line(self) -> str:
        """Return the statistics for people."""
        examples = ", ".join(self.first_unseen) + (", ..." if self.unseen > _SHOWN else "")
        never = f" ({self.unseen:,} never: {examples})" if self.unseen else ""
        often = f"most often {self.most[0]} ({self.most[1]:,} x), "
        often += f"least often {self.least[0]} ({self.least[1]:,} x)"
        if self.most[1] == self.least[1]:
            often = f"each {self.most[1]:,} x"
        return (
            f"{self.name}: {self.seen:,} of {counted(self.classes, 'class')} seen{never}, "
            f"{self.lowest:,} to {self.highest:,}; {often}"
        )

    def to_json(self) -> dict[str, Any]:
        """Return the statistics for programs."""
        return dict(vars(self))


@dataclass(frozen=True)
class SequenceStatistics:
    """The texts of a head: of how many characters they are, and how many characters there are."""

    name: str
    characters: int
    shortest: int
    longest: int
    length: int
    most: tuple[int, int]
    warnings: tuple[str, ...] = ()

    def line(self) -> str:
        """Return the statistics for people."""
        span = f"{self.shortest:,} to {self.longest:,}"
        if self.shortest == self.longest:
            span = f"{self.longest:,}"
        return (
            f"{self.name}: texts of {span} of {counted(self.length, 'character')}, most often "
            f"{self.most[0]:,} ({self.most[1]:,} x); {counted(self.characters, 'id')} of characters"
        )

    def to_json(self) -> dict[str, Any]:
        """Return the statistics for programs."""
        return {name: value for name, value in vars(self).items() if name != "warnings"}


def label_statistics(
    heads: Sequence[Label],
    labels: NDArray[np.integer],
    splits: tuple[str, ...],
    split: NDArray[np.int32],
    dropped: Sequence[int] | NDArray[np.int64] = (),
) -> list[HeadStatistics | SequenceStatistics]:
    """Count the classes among the labels (rows, numbers) of a table with at least one row.

    Of texts that are sequences, their lengths are counted. Rows that are `dropped`, in order, do
    not count; one row at least is left.
    """
    gone = np.asarray(dropped, dtype=np.int64)
    columns = columns_of([head.kind for head in heads])
    # Those of sequences are no classes.
    lengths = {
        length_of(head.name): head for head in heads if head.vocabulary and not head.kind.is_class
    }
    return [
        _of_texts(lengths[head.name], *_count(labels[:, of_head.start], split, gone))
        if head.name in lengths
        else _of_head(head, splits, *_count(labels[:, of_head.start], split, gone))
        for head, of_head in zip(heads, columns, strict=True)
        if head.kind.is_class
    ]


def _of_texts(
    head: Label, pairs: NDArray[np.int64], of_pair: NDArray[np.int64]
) -> SequenceStatistics:
    lengths, place = np.unique(pairs & ((1 << _CLASS_BITS) - 1), return_inverse=True)
    counts = np.zeros(len(lengths), dtype=np.int64)
    np.add.at(counts, place, of_pair)
    usual = int(counts.argmax())
    return SequenceStatistics(
        head.name,
        head.classes - 1,
        int(lengths[0]),
        int(lengths[-1]),
        head.kind.length,
        (int(lengths[usual]), int(counts[usual])),
    )


def _count(
    values: NDArray[np.integer], split: NDArray[np.int32], dropped: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count the rows of each pair of a split and a class; only pairs that are there take memory.

    Returns the pairs, sorted, as `split << 32 | class`, and their counts.
    """
    parts: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    waiting = 0
    for rows in slices(len(values)):
        pairs = (split[rows].astype(np.int64) << _CLASS_BITS) | values[rows]
        first, last = np.searchsorted(dropped, (rows.start, rows.stop))
        pairs = np.delete(pairs, dropped[first:last] - rows.start)
        parts.append(np.unique(pairs, return_counts=True))
        waiting += len(parts[-1][0])
        if waiting > max(SLICE, 2 * len(parts[0][0])):
            parts = [_sum(parts)]
            waiting = len(parts[0][0])
    return _sum(parts)


def _sum(
    parts: list[tuple[NDArray[np.int64], NDArray[np.int64]]],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    pairs, place = np.unique(np.concatenate([pairs for pairs, _ in parts]), return_inverse=True)
    counts = np.zeros(len(pairs), dtype=np.int64)
    np.add.at(counts, place, np.concatenate([counts for _, counts in parts]))
    return pairs, counts


def _of_head(
    head: Label, splits: tuple[str, ...], pairs: NDArray[np.int64], of_pair: NDArray[np.int64]
) -> HeadStatistics:
    split, values = pairs >> _CLASS_BITS, pairs & ((1 << _CLASS_BITS) - 1)
    # Classes may be numbered with large gaps: only those that are there are counted.
    classes, place = np.unique(values, return_inverse=True)
    counts = np.zeros(len(classes), dtype=np.int64)
    np.add.at(counts, place, of_pair)

    def word(number: int) -> str:
        return str(number) if head.vocabulary is None else head.vocabulary[number]

    def named(place: int) -> tuple[str, int]:
        return word(int(classes[place])), int(counts[place])

    # Classes are sorted and unique, and so are those of each split.
    few = np.arange(min(head.classes, len(classes) + _SHOWN))
    unseen = np.setdiff1d(few, classes, assume_unique=True)[:_SHOWN]

    warnings = []
    if len(classes) == 1:
        warnings.append(f"label {head.name} has one class only, {named(0)[0]}")
    if head.vocabulary is not None:
        warnings += _numbers_as_texts(head.name, head.vocabulary, classes)
    if _TRAIN in splits:
        trained = values[split == splits.index(_TRAIN)]
        for code, name in enumerate(splits):
            fresh = np.setdiff1d(values[split == code], trained, assume_unique=True)
            if len(fresh):
                shown = word(int(fresh[0]))
                warnings.append(
                    f"label {head.name} has {counted(len(fresh), 'class')} in split {name} that "
                    f"{agreeing(len(fresh), 'is')} never seen in {_TRAIN}, such as {shown}"
                )
    return HeadStatistics(
        name=head.name,
        classes=head.classes,
        seen=len(classes),
        lowest=int(classes[0]),
        highest=int(classes[-1]),
        unseen=head.classes - len(classes),
        first_unseen=tuple(word(int(number)) for number in unseen),
        most=named(int(counts.argmax())),
        least=named(int(counts.argmin())),
        warnings=tuple(warnings),
    )


def _numbers_as_texts(
    name: str, vocabulary: Sequence[str], classes: NDArray[np.int64]
) -> list[str]:
    """Warn where most texts of a head are numbers, and not those of their classes.

    A vocabulary that is in another order than a built one has been written on purpose.
    """
    if any(first > second for first, second in pairwise(vocabulary)):
        return []
    numbers = [number for number in classes.tolist() if is_numeric(vocabulary[number])]
    other = [number for number in numbers if whole_number(vocabulary[number]) != number]
    if not other or 2 * len(numbers) < len(classes):
        return []
    return [
        f"label {name} has texts that are numbers, which are numbered in the order of code points: "
        f"{vocabulary[other[0]]!r} is class {other[0]}; without --text-labels whole numbers are "
        "their own classes"
    ]
