"""Memory for batches, used again when nobody looks at it any more.

A fresh array a batch costs more than filling it: the kernel has to clear its pages first. So a
batch is built in pooled memory, and goes to the user as an array whose base is a lease. A view of
the array, or a view of a view, holds the same lease; when the last of them is gone, the lease
gives the memory back. What the user keeps is never overwritten.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import RLock
from typing import Any, Generic, Protocol, TypeVar
from weakref import ref

import numpy as np
from numpy.typing import NDArray

# TensorFlow takes a NumPy array without a copy if it starts at a multiple of this.
ALIGNMENT = 64


class _Memory(Protocol):
    @property
    def array(self) -> NDArray[Any]: ...


_M = TypeVar("_M", bound=_Memory)


def aligned(size: int) -> NDArray[np.uint8]:
    """Return `size` bytes that start at a multiple of 64."""
    whole = np.empty(size + ALIGNMENT, dtype=np.uint8)
    start = -whole.ctypes.data % ALIGNMENT
    return whole[start : start + size]


class Room:
    """Memory of an array (rows, columns) that starts at a multiple of 64."""

    def __init__(self, rows: int, columns: int, dtype: str = "uint8") -> None:
        size = rows * columns * np.dtype(dtype).itemsize
        self.array: NDArray[Any] = aligned(size).view(dtype).reshape(rows, columns)


class Pool(Generic[_M]):
    """Pieces of memory of one kind, each made by `new`.

    `most` pieces are made when the first one is asked for, and their pages touched; more are made
    while the caller keeps so many, and not kept afterwards.
    """

    def __init__(self, new: Callable[[], _M], most: int) -> None:
        self._new = new
        self._most = most
        self._free: list[_M] | None = None
        # A collection of garbage within `take` or `give` may give back a lease.
        self._lock = RLock()

    def take(self) -> _M:
        """Return a piece."""
        with self._lock:
            if self._free is None:
                self._free = [self._new() for _ in range(self._most)]
                for piece in self._free:
                    piece.array.fill(0)
            if self._free:
                return self._free.pop()
        return self._new()

    def give(self, memory: _M) -> None:
        """Take a piece back."""
        with self._lock:
            if self._free is not None and len(self._free) < self._most:
                self._free.append(memory)

    def lease(self, memory: _M) -> NDArray[Any]:
        """Return the array of a piece; the piece comes back when its last view is gone."""
        return np.asarray(_Lease(self, memory))


class _Lease:
    """The owner of a leased array, as NumPy sees it.

    It does not keep the pool: who keeps a batch would keep all that the batch's stream owned.
    """

    def __init__(self, pool: Pool[Any], memory: _Memory) -> None:
        self._pool = ref(pool)
        self._memory = memory
        self.__array_interface__ = memory.array.__array_interface__

    def __del__(self) -> None:
        pool = self._pool()
        if pool is not None:
            pool.give(self._memory)
