"""What the C library does with memory that was freed; only for a process that nobody else works in.

With another library than glibc nothing happens.
"""

from __future__ import annotations

import ctypes
from contextlib import suppress

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
# The most that glibc takes.
_LARGEST = 32 << 20


def use_one_heap() -> None:
    """Let threads share a heap.

    By default each has its own, which keeps what was freed in it: 24 threads that have read a file
    of 20 MB each, one after the other, would hold 480 MB for ever.
    """
    _set(_ARENA_MAX, 1)


def keep_freed_memory() -> None:
    """Keep what was freed for the next who needs some, in two heaps for all threads.

    By default a buffer of a megabyte is given back to the kernel each time. Fresh memory has to be
    cleared, page by page, which takes longer than to fill it.
    """
    _set(_ARENA_MAX, 2)
    _set(_MMAP_THRESHOLD, _LARGEST)
    _set(_TRIM_THRESHOLD, 4 * _LARGEST)


def _set(what: int, value: int) -> None:
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(what, value)
