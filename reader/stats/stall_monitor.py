"""The share of a loop that waits for its batches."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

_Item = TypeVar("_Item")


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
