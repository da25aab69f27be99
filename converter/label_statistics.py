"""What the labels of a table are: counted before anything is converted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shardio.format.manifest import Label

_TRAIN = "train"


@dataclass(frozen=True)
class HeadStatistics:
    """The labels of one head: how many classes there are and are seen, and how often."""

    name: str
    classes: int
    seen: int
    lowest: int
    highest: int
    most: tuple[str, int]
    least: tuple[str, int]
    warnings: tuple[str, ...]

    def line(self) -> str:
        """Return the statistics for people."""
        return (
            f"{self.name}: {self.seen:,} of {self.classes:,} classes seen, {self.lowest:,} to "
            f"{self.highest:,}; most often {self.most[0]} ({self.most[1]:,} x), least often "
            f"{self.least[0]} ({self.least[1]:,} x)"
        )

    def to_json(self) -> dict[str, Any]:
        """Return the statistics for programs."""
        return {
            "name": self.name,
            "classes": self.classes,
            "seen": self.seen,
            "lowest": self.lowest,
            "highest": self.highest,
            "most": list(self.most),
            "least": list(self.least),
            "warnings": list(self.warnings),
        }


def label_statistics(
    heads: Sequence[Label],
    labels: NDArray[np.int64],
    splits: tuple[str, ...],
    split: NDArray[np.int32],
) -> list[HeadStatistics]:
    """Count the labels (rows, heads) of a table with at least one row."""
    return [_of_head(head, labels[:, index], splits, split) for index, head in enumerate(heads)]


def _of_head(
    head: Label, values: NDArray[np.int64], splits: tuple[str, ...], split: NDArray[np.int32]
) -> HeadStatistics:
    # Classes may be numbered with large gaps: only those that are there are counted.
    classes, counts = np.unique(values, return_counts=True)

    def named(place: int) -> tuple[str, int]:
        number = int(classes[place])
        text = str(number) if head.vocabulary is None else head.vocabulary[number]
        return text, int(counts[place])

    warnings = []
    if len(classes) == 1:
        warnings.append(f"label {head.name} has one class only, {named(0)[0]}")
    if _TRAIN in splits:
        trained = np.unique(values[split == splits.index(_TRAIN)])
        for code, name in enumerate(splits):
            unseen = np.setdiff1d(values[split == code], trained)
            if len(unseen):
                shown = named(int(np.searchsorted(classes, unseen[0])))[0]
                warnings.append(
                    f"label {head.name} has {len(unseen):,} classes in split {name} that are never "
                    f"seen in {_TRAIN}, such as {shown}"
                )
    return HeadStatistics(
        name=head.name,
        classes=head.classes,
        seen=len(classes),
        lowest=int(classes[0]),
        highest=int(classes[-1]),
        most=named(int(counts.argmax())),
        least=named(int(counts.argmin())),
        warnings=tuple(warnings),
    )
