"""Which record stands at which position of an epoch: a pure function of seed, epoch, position."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from reader.core.permute import permuted
from shardio.permutation import Permutation

# Without the compiled code the permutation costs 40 ns a position for thousands at once, and 20
# times that for a hundred.
_BLOCK = 8192
_CACHED_BLOCKS = 4


class Order:
    """The order of `records` records in every epoch.

    `shuffle` is `exact`, where each epoch has a permutation of its own, or `none`. Nothing here
    grows with the number of records.
    """

    def __init__(self, records: int, shuffle: str, seed: int) -> None:
        self._records = records
        self._shuffled = shuffle == "exact"
        self._seed = seed
        self._blocks: OrderedDict[tuple[int, int], NDArray[np.int64]] = OrderedDict()
        self._lock = Lock()

    def share(self, epoch: int, start: int, stop: int, rank: int, world: int) -> NDArray[np.int64]:
        """Return what `rank` of `world` gets of the positions `start` to `stop`: a slice.

        It is shorter where the positions go beyond the end of the epoch.
        """
        each = (stop - start) // world
        first = start + rank * each
        return self.ids(epoch, min(first, self._records), min(first + each, self._records))

    def ids(self, epoch: int, start: int, stop: int) -> NDArray[np.int64]:
        """Return the records at positions `start` to `stop` of `epoch`."""
        if not 0 <= start <= stop <= self._records:
            raise IndexError(f"positions {start} to {stop} of {self._records}")
        if not self._shuffled:
            return np.arange(start, stop)
        out = np.empty(stop - start, dtype=np.int64)
        for number in range(start // _BLOCK, -(-stop // _BLOCK)):
            first = number * _BLOCK
            low, high = max(start, first), min(stop, first + _BLOCK)
            out[low - start : high - start] = self._block(epoch, number)[low - first : high - first]
        return out

    def _block(self, epoch: int, number: int) -> NDArray[np.int64]:
        key = epoch, number
        with self._lock:
            block = self._blocks.get(key)
        if block is None:
            first = number * _BLOCK
            permutation = Permutation(self._records, self._seed, epoch)
            block = permuted(permutation, first, min(first + _BLOCK, self._records))
            with self._lock:
                self._blocks[key] = block
                if len(self._blocks) > _CACHED_BLOCKS:
                    self._blocks.popitem(last=False)
        return block
