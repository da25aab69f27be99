"""Whether storage makes its readers wait: measured now and again, and believed for a while."""

from __future__ import annotations

import resource
import time
from typing import NamedTuple

# A record from the page cache takes some 3 microseconds, one from a fast disk some 100.
_SLOW = 20e-6
# A thread that waits for a disk gives up its processor each time. One that has to share its
# processor takes long as well, but does not give it up: more than so many records for each time.
_RECORDS_A_WAIT = 16
# After so many steps it is measured again: few at first, and twice as many each time.
_FIRST = 8
_MOST = 256


class Taken(NamedTuple):
    """What a read took: the time of its threads, and how often they waited.

    `cpu` are CPU seconds of threads that only read.
    """

    seconds: float
    waits: int
    cpu: float = 0.0


class Stopwatch:
    """Measures what this thread reads from now on."""

    def __init__(self) -> None:
        self._begun = time.perf_counter()
        self._waits = resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw

    def taken(self) -> Taken:
        """Return what it took until now."""
        waits = resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw - self._waits
        return Taken(time.perf_counter() - self._begun, waits)


class Waiting:
    """Tells whether storage is slow, for one stream.

    `is_quick` says that it was not when it was measured last; at first that is not known.
    """

    def __init__(self) -> None:
        self._left = 0
        self._next = _FIRST
        self.is_quick = False

    @property
    def is_slow(self) -> bool:
        """Whether reads have to wait, as far as is known."""
        return self._left > 0

    def saw(self, taken: Taken, records: int) -> bool:
        """Note what so many records took; returns whether storage turned out slow just now."""
        if self._left > 0:
            self._left -= 1
            return False
        lasted = taken.seconds > _SLOW * records
        if lasted and taken.waits * _RECORDS_A_WAIT >= records:
            self.is_quick = False
            self._left, self._next = self._next, min(2 * self._next, _MOST)
            return True
        self.is_quick = True
        if not lasted:
            self._next = _FIRST
        return False
