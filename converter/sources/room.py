"""How much memory files take that are read ahead of their use."""

from __future__ import annotations

from collections import deque
from threading import Condition

from shardio.storage.whole import Room

# What a file may have is what the largest of so many before it had, and a little more.
_RECENT = 64
_LEAST_EXPECTED = 1 << 16


class ClosedError(Exception):
    """Nobody wants the files any more."""


class ReadAheadBound:
    """Memory for files that threads read ahead, `limit` bytes in all.

    Files are numbered in the order of their use. Who needs more than is free waits; room goes to
    the file that is used first. The one that is waited for always gets its room, or nothing would
    go on: so one file may be above the limit.
    """

    def __init__(self, limit: int, threads: int) -> None:
        self._limit = limit
        self._first_guess = max(1, limit // threads)
        self._recent: deque[int] = deque(maxlen=_RECENT)
        self._used = 0
        self._needed = 0
        self._waiting: set[int] = set()
        self._change = Condition()
        self._closed = False

    @property
    def expected(self) -> int:
        """Return what the next file may have."""
        with self._change:
            if not self._recent:
                return self._first_guess
            return max(_LEAST_EXPECTED, max(self._recent) * 5 // 4)

    def saw(self, size: int) -> None:
        """Be told of a file that was read."""
        with self._change:
            self._recent.append(size)

    def need(self, number: int) -> None:
        """Be told which file is waited for."""
        with self._change:
            self._needed = number
            if self._waiting:
                self._change.notify_all()

    def take(self, number: int, size: int) -> None:
        """Take room, for a file that may have to wait for it."""
        with self._change:
            self._waiting.add(number)
            try:
                while not self._may(number, size):
                    self._change.wait()
            finally:
                self._waiting.discard(number)
                if self._waiting:
                    self._change.notify_all()
            if self._closed:
                raise ClosedError
            self._used += size

    def _may(self, number: int, size: int) -> bool:
        if self._closed or number <= self._needed:
            return True
        return number == min(self._waiting) and self._used + size <= self._limit

    def give_back(self, size: int) -> None:
        """Give room back."""
        with self._change:
            self._used -= size
            if self._waiting:
                self._change.notify_all()

    def close(self) -> None:
        """Let those that wait go, with ClosedError."""
        with self._change:
            self._closed = True
            self._change.notify_all()


class FileRoom(Room):
    """The room of one file, of which it gives back what it does not need."""

    def __init__(self, bound: ReadAheadBound, number: int) -> None:
        self._bound = bound
        self._number = number
        self.taken = 0

    @property
    def expected(self) -> int:  # type: ignore[override]
        """What the file may have."""
        return self._bound.expected

    def take(self, size: int) -> None:
        """Take room for `size` bytes in all."""
        if size > self.taken:
            self._bound.take(self._number, size - self.taken)
            self.taken = size

    def settle(self, size: int) -> None:
        """Be told how much the file has in the end."""
        self._bound.give_back(self.taken - size)
        self.taken = size
