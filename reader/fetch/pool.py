"""Memory for batches, used again when nothing refers to it any more.

A fresh array a batch costs more than filling it: the kernel has to clear its pages first. So a
batch is built in pooled memory, and goes to the user as an array whose base is a lease. A view of
the array, or a view of a view, holds the same lease; when the last of them is gone, the lease
gives the memory back. What the user keeps is never overwritten.
"""

from __future__ import annotations

from threading import RLock
from typing import Any
from weakref import ref

import numpy as np
from numpy.typing import NDArray

# TensorFlow takes a NumPy array without a copy if it starts at a multiple of this.
ALIGNMENT = 64


def aligned(size: int) -> NDArray[np.uint8]:
    """Return `size` bytes that start at a multiple of 64."""
    whole = np.empty(size + ALIGNMENT, dtype=np.uint8)
    start = -whole.ctypes.data % ALIGNMENT
    return whole[start : start + size]


class Pool:
    """Arrays (rows, columns) that start at a multiple of 64.

    `most` of them are made when the first one is asked for, and their pages touched; more are made
    while the caller keeps so many, and not kept afterwards.
    """

    def __init__(self, rows: int, columns: int, dtype: str, most: int) -> None:
        self._shape = rows, columns
        self._dtype = np.dtype(dtype)
        self._most = most
        self._free: list[NDArray[Any]] | None = None
        # A collection of garbage within `take` or `give` may give back a lease.
        self._lock = RLock()

    def take(self) -> NDArray[Any]:
        """Return an array."""
        with self._lock:
            if self._free is None:
                self._free = [self._new() for _ in range(self._most)]
                for array in self._free:
                    array.fill(0)
            if self._free:
                return self._free.pop()
        return self._new()

    def give(self, array: NDArray[Any]) -> None:
        """Take an array back."""
        with self._lock:
            if self._free is not None and len(self._free) < self._most:
                self._free.append(array)

    def lease(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return the array for a caller; it comes back when its last view is gone."""
        return np.asarray(_Lease(self, array))

    def _new(self) -> NDArray[Any]:
        rows, columns = self._shape
        memory = aligned(rows * columns * self._dtype.itemsize)
        return memory.view(self._dtype).reshape(self._shape)


class _Lease:
    """The owner of a leased array, as NumPy sees it.

    It does not keep the pool: a kept batch would keep all the memory of its stream.
    """

    def __init__(self, pool: Pool, array: NDArray[Any]) -> None:
        self._pool = ref(pool)
        self._array = array
        self.__array_interface__ = array.__array_interface__

    def __del__(self) -> None:
        pool = self._pool()
        if pool is not None:
            pool.give(self._array)
