"""Counts that several processes add to: those of a DataLoader, however they are started."""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.context import get_spawning_popen
from multiprocessing.reduction import DupFd
from threading import Lock
from typing import Any

from reader.stats.stream_stats import Sums

_SUMS = struct.Struct("11d")


class SharedCounts:
    """Sums in memory that has no name, and is gone with the last process that has it open.

    A process that is forked has its descriptor, and one that multiprocessing starts otherwise is
    given it. A lock of the kernel, which a process that is killed gives up, keeps additions whole.
    """

    def __init__(self, file: int | None = None) -> None:
        self._file = os.memfd_create("shardio-counts") if file is None else file
        if file is None:
            os.pwrite(self._file, bytes(_SUMS.size), 0)

    def add(self, sums: Sequence[float]) -> None:
        """Add numbers, all of them at once."""
        with _turn(self._file):
            now = self.sums()
            os.pwrite(self._file, _SUMS.pack(*(a + b for a, b in zip(now, sums, strict=True))), 0)

    def sums(self) -> Sums:
        """Return what all processes have added."""
        return _SUMS.unpack(os.pread(self._file, _SUMS.size, 0))

    def __reduce__(self) -> Any:
        # What is copied otherwise counts for itself, elsewhere.
        if get_spawning_popen() is None:
            return _nothing, ()
        return _opened, (DupFd(self._file),)

    def __del__(self) -> None:
        os.close(self._file)


def _nothing() -> None:
    """Return what a copy of these counts is."""


def _opened(file: Any) -> SharedCounts:
    return SharedCounts(file.detach())


@contextmanager
def _turn(file: int) -> Iterator[None]:
    # The kernel's lock is one between processes; the other keeps the threads of one apart.
    with _threads.lock:
        fcntl.lockf(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(file, fcntl.LOCK_UN)


class _Threads:
    lock = Lock()

    def renew(self) -> None:
        """Have a lock that no thread holds, in a process that was forked."""
        self.lock = Lock()


_threads = _Threads()
os.register_at_fork(after_in_child=_threads.renew)
