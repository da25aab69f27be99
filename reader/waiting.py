"""Whether storage makes its readers wait: measured now and again, and believed for a while."""

from __future__ import annotations

import resource
import time
from typing import NamedTuple

# A record from the page cache takes some 3 microseconds, one from a fast disk some 100.
_SLOW = 20e-6
# A thread that waits for a disk gives up its processor, each time anew. One that has to share its
# processor takes long as well, but does not give it up: more than so many records for each time.
_RECORDS_A_WAIT = 16
# After so many steps it is measured again: few at first, and twice as many each time.
_FIRST = 8
_MOST = 256


class Begun(NamedTuple):
    """When a read began, and how often its thread had waited until then."""

    seconds: float
    waits: int


class Waiting:
    """Tells whether storage is slow, for one stream."""

    def __init__(self) -> None:
        self._left = 0
        self._next = _FIRST

    @property
    def is_slow(self) -> bool:
        """Whether reads have to wait, as far as is known."""
        return self._left > 0

    @staticmethod
    def begin() -> Begun:
        """Be told that this thread begins to read."""
        return Begun(time.perf_counter(), resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw)

    def end(self, begun: Begun, records: int) -> bool:
        """Be told that so many records were read; returns whether it turned out slow just now."""
        if self._left > 0:
            self._left -= 1
            return False
        if time.perf_counter() - begun.seconds <= _SLOW * records:
            self._next = _FIRST
            return False
        waits = resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw - begun.waits
        if waits * _RECORDS_A_WAIT < records:
            return False
        self._left, self._next = self._next, min(2 * self._next, _MOST)
        return True
