"""Integers in memory that processes share."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from multiprocessing.reduction import DupFd
from typing import Any

_BYTES = 8


class SharedIntegers:
    """`count` 64-bit integers, zero at first; each must have one writer only.

    The memory has no name and takes no room in /dev/shm, which may be read-only or full.
    """

    def __init__(self, count: int) -> None:
        descriptor = os.memfd_create("shardio-integers")
        try:
            os.ftruncate(descriptor, count * _BYTES)
        except OSError:
            os.close(descriptor)
            raise
        self._open(descriptor)

    def _open(self, descriptor: int) -> None:
        self._fd = descriptor
        size = os.fstat(descriptor).st_size
        self._values = memoryview(mmap.mmap(descriptor, size)).cast("q")

    def __iter__(self) -> Iterator[int]:
        return iter(self._values.tolist())

    def __getitem__(self, index: int) -> int:
        return self._values[index]

    def __setitem__(self, index: int, value: int) -> None:
        self._values[index] = value

    def __reduce__(self) -> tuple[Any, ...]:
        return _received, (DupFd(self._fd),)

    def __del__(self) -> None:
        if hasattr(self, "_fd"):
            os.close(self._fd)


def _received(descriptor: Any) -> SharedIntegers:
    integers = SharedIntegers.__new__(SharedIntegers)
    integers._open(descriptor.detach())
    return integers
