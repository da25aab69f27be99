"""Numbers of a stream of batches: what it gave, and how long the caller waited for it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar

from reader.batching.batch_form import BatchParts

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class StreamStats:
    """What a stream has given in this process since it was made."""

    batches: int
    images: int
    bytes: int
    """Of images, labels, weights and rows, as the caller got them."""
    waited: float
    """Seconds that the caller waited within `next`."""
    ahead: int
    """Batches that are being made or are ready: the depth of the queue now."""
    skipped: int
    """Damaged records that others took the place of."""


class Awaited(Protocol):
    """A batch that is being made."""

    def result(self) -> BatchParts:
        """Wait for it."""


class StreamCounts:
    """Counts for `StreamStats`, a few additions a batch."""

    def __init__(self) -> None:
        self.batches = self.images = self.bytes = 0
        self.waited = 0.0

    def wait(self, batch: Awaited) -> BatchParts:
        """Wait for a batch that the caller gets now, and count it."""
        asked = time.perf_counter()
        parts = batch.result()
        self.waited += time.perf_counter() - asked
        self.batches += 1
        self.images += len(parts.images)
        arrays = (parts.images, *parts.labels, parts.weights, parts.rows)
        self.bytes += sum(array.nbytes for array in arrays if array is not None)
        return parts

    def stats(self, ahead: int, skipped: int) -> StreamStats:
        """Return what was counted, with the depth of the queue and the skipped records."""
        return StreamStats(self.batches, self.images, self.bytes, self.waited, ahead, skipped)


class StallMonitor(Iterable[_Item]):
    """Measures which share of a loop is spent waiting for its batches.

        monitor = StallMonitor(loader)
        for x, ys in monitor:
            ...
        print(monitor)

    It goes around anything that is iterated over: a stream of batches, a `DataLoader`, a
    `tf.data.Dataset`. `utilisation` is what MLPerf Storage calls accelerator utilisation: the time
    of the work by that of the work and the waiting. Work that a GPU does after the loop's body has
    handed it over counts where the loop waits for it; so let the body end with a result, such as
    the loss as a number, at least now and then.
    """

    def __init__(self, batches: Iterable[_Item]) -> None:
        self._batches = batches
        self.steps = 0
        self.waited = self.worked = 0.0

    def __iter__(self) -> Iterator[_Item]:
        iterator, begun = iter(self._batches), time.perf_counter()
        while True:
            try:
                item = next(iterator)
            except StopIteration:
                return
            given = time.perf_counter()
            self.waited += given - begun
            self.steps += 1
            yield item
            begun = time.perf_counter()
            self.worked += begun - given

    @property
    def utilisation(self) -> float:
        """The share of the time that was work, 0 to 1; NaN before the first step."""
        total = self.waited + self.worked
        return self.worked / total if total else float("nan")

    def reset(self) -> None:
        """Begin to count again, for the next epoch."""
        self.steps = 0
        self.waited = self.worked = 0.0

    def __str__(self) -> str:
        return (
            f"{self.steps:,} steps, {self.waited:.1f} s waiting for batches and "
            f"{self.worked:.1f} s at work: utilisation {self.utilisation:.1%}"
        )
