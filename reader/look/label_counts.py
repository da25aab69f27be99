"""How often each class of a head is seen, in each split, and a record that shows it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shardio.format.label import Label, floats_of

# Classes are counted in arrays; a head of more distinct values holds ids, not classes.
MOST_CLASSES = 1 << 24


class LabelCounts:
    """Counts the values of a head of integers.

    `counts` is (splits, classes), `first` the first record with each class, -1 for none. Of a
    vector each value counts; of a sequence the 0 after its end does not. `are_classes` is False for
    a head with more values than are counted.
    """

    def __init__(self, label: Label, splits: int) -> None:
        self.label = label
        self.are_classes = label.classes <= MOST_CLASSES
        known = label.classes if self.are_classes else 0
        self.counts = np.zeros((splits, known), dtype=np.int64)
        self.first = np.full(known, -1, dtype=np.int64)
        self._ends_with_0 = label.is_sequence

    @property
    def are_words(self) -> bool:
        """Whether values are classes that may be missed, and not numbers of a box or ids."""
        label = self.label
        return self.are_classes and (label.kind.is_class or label.vocabulary is not None)

    @property
    def noun(self) -> str:
        """What a value is called."""
        if self.label.kind.is_class:
            return "class"
        return "character" if self.label.is_sequence else "value"

    @property
    def known(self) -> int:
        """How many classes there may be; 0 where that is not known."""
        return max(0, self.label.classes - self._ends_with_0)

    @property
    def total(self) -> NDArray[np.int64]:
        """How often each class is seen in all splits."""
        return np.asarray(self.counts.sum(axis=0))

    @property
    def seen(self) -> NDArray[np.int64]:
        """The classes that are seen, the most frequent first."""
        total = self.total
        classes = np.flatnonzero(total)
        return classes[np.argsort(-total[classes], kind="stable")]

    @property
    def never(self) -> NDArray[np.int64]:
        """The classes that are known and never seen."""
        start = 1 if self._ends_with_0 else 0
        return np.flatnonzero(self.total[start:] == 0) + start if self.label.classes else _NONE

    def add(
        self, ids: NDArray[np.int64], split: NDArray[np.int64], values: NDArray[np.int64]
    ) -> None:
        """Count the values (n, length) of records `ids` in order, each of a `split`."""
        if not self.are_classes:
            return
        highest = int(values.max(initial=0))
        if highest >= MOST_CLASSES:
            self.are_classes = False
            return
        if highest >= self.counts.shape[1]:  # the number of classes is not known
            self._grow(highest + 1)
        for number in np.unique(split).tolist():
            here = values[split == number]
            self.counts[number] += np.bincount(here.reshape(-1), minlength=self.counts.shape[1])
        flat = values.reshape(-1)
        classes, at = np.unique(flat, return_index=True)
        fresh = self.first[classes] < 0
        self.first[classes[fresh]] = ids[at[fresh] // values.shape[1]]
        if self._ends_with_0:
            self.counts[:, 0] = 0

    def word(self, number: int) -> str:
        """Return a class for people: its number, and its text where there is one."""
        words = self.label.vocabulary
        return str(number) if words is None else f"{number} {words[number]}"

    def _grow(self, classes: int) -> None:
        more = max(classes, 2 * self.counts.shape[1]) - self.counts.shape[1]
        self.counts = np.pad(self.counts, ((0, 0), (0, more)))
        self.first = np.pad(self.first, (0, more), constant_values=-1)


_NONE = np.empty(0, dtype=np.int64)


class FloatRange:
    """The least, mean and greatest value of each of the floats of a head."""

    def __init__(self, label: Label) -> None:
        self.label = label
        self.least = np.full(label.kind.length, np.inf)
        self.most = np.full(label.kind.length, -np.inf)
        self._sum = np.zeros(label.kind.length)
        self._count = 0

    @property
    def mean(self) -> NDArray[np.float64]:
        """The means; not a number where there is no record."""
        return self._sum / self._count if self._count else np.full_like(self._sum, np.nan)

    def add(self, numbers: NDArray[np.int64]) -> None:
        """Add the values of records, as numbers (n, length)."""
        if len(numbers):
            values = floats_of(numbers).astype(np.float64)
            self.least = np.minimum(self.least, values.min(axis=0))
            self.most = np.maximum(self.most, values.max(axis=0))
            self._sum += values.sum(axis=0)
            self._count += len(values)
