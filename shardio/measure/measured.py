"""What was measured of work that yields images: how many a second, and what they cost."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Measured:
    """Images, the seconds that they took, and the CPU seconds of the process meanwhile."""

    images: int
    seconds: float
    cpu: float

    @property
    def rate(self) -> float:
        """Images a second."""
        return self.images / self.seconds if self.images else 0.0

    @property
    def cpu_per_million(self) -> float:
        """CPU seconds of a million images, of all threads."""
        return self.cpu / self.images * 1e6 if self.images else 0.0

    def plus(self, other: Measured) -> Measured:
        """Return both together."""
        return Measured(
            self.images + other.images, self.seconds + other.seconds, self.cpu + other.cpu
        )


def measured(counts: Iterable[int], seconds: float, settle: float = 0.0) -> Measured:
    """Measure work that yields how many images each step gave, for so many seconds.

    The first `settle` seconds do not count, and neither does the first step then: what was made
    ahead is used up, and what is made once is made. Work that ends sooner is measured to its end.
    """
    steps = iter(counts)
    if settle:
        ready = time.perf_counter() + settle
        for _ in steps:
            if time.perf_counter() >= ready:
                break
    images, used, start = 0, time.process_time(), time.perf_counter()
    for count in steps:
        images += count
        if time.perf_counter() - start >= seconds:
            break
    # A clock may stand still for what takes no time.
    took = max(time.perf_counter() - start, 1e-9)
    return Measured(images, took, time.process_time() - used)
