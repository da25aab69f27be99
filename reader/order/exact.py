"""Which record stands at which position of an epoch: a pure function of seed, epoch, position."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any
from weakref import WeakMethod

import numpy as np
from numpy.typing import NDArray

from reader.core.compiled import permuted
from shardio.permutation import Permutation

Ids = NDArray[np.int64]

# Without the compiled code the permutation costs 40 ns a position for thousands at once, and 20
# times that for a hundred.
BLOCK = 8192
_CACHED_BLOCKS = 4


def remembered(method: Callable[..., Ids], most: int) -> Callable[..., Ids]:
    """Return a method that keeps its last `most` results, for any thread, but not its object."""
    weak: Any = WeakMethod(method)
    return lru_cache(most)(lambda *key: weak()(*key))


class Order:
    """An order of `records` positions in every epoch, computed thousands of them at once.

    `compute` returns the records at positions of an epoch: (epoch, start, stop). Nothing here grows
    with the number of records.
    """

    def __init__(self, records: int, compute: Callable[[int, int, int], Ids]) -> None:
        self._records = records

        def block(epoch: int, number: int) -> Ids:
            first = number * BLOCK
            return compute(epoch, first, min(first + BLOCK, records))

        self._block = lru_cache(_CACHED_BLOCKS)(block)

    def share(self, epoch: int, start: int, stop: int, rank: int, world: int) -> Ids:
        """Return what `rank` of `world` gets of the positions `start` to `stop`: a slice.

        It is shorter where the positions go beyond the end of the epoch.
        """
        each = (stop - start) // world
        first = start + rank * each
        return self.ids(epoch, min(first, self._records), min(first + each, self._records))

    def ids(self, epoch: int, start: int, stop: int) -> Ids:
        """Return the records at positions `start` to `stop` of `epoch`."""
        if not 0 <= start <= stop <= self._records:
            raise IndexError(f"positions {start} to {stop} of {self._records}")
        out = np.empty(stop - start, dtype=np.int64)
        for number in range(start // BLOCK, -(-stop // BLOCK)):
            first = number * BLOCK
            low, high = max(start, first), min(stop, first + BLOCK)
            out[low - start : high - start] = self._block(epoch, number)[low - first : high - first]
        return out

    def at(self, epoch: int, positions: Ids) -> Ids:
        """Return the records at positions of `epoch` that increase, and are close together."""
        first = int(positions[0])
        found = self.ids(epoch, first, int(positions[-1]) + 1)
        return found if len(found) == len(positions) else found[positions - first]


def plain_order(records: int, shuffle: str, seed: int) -> Order:
    """Return `exact`, where each epoch has a permutation of its own, or `none`, as stored."""

    def compute(epoch: int, start: int, stop: int) -> Ids:
        if shuffle != "exact":
            return np.arange(start, stop)
        return permuted(Permutation(records, seed, epoch), start, stop)

    return Order(records, compute)
