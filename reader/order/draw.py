"""Records drawn by weight, with replacement: what comes at a position is a function of position.

Each position of each epoch has a random number of its own, 64 bits: those of SplitMix64 (Steele,
Lea and Flood, Fast Splittable Pseudorandom Number Generators, 2014) with a key of the seed and the
epoch, scrambled once more with a second key. Of the number times the number of columns the high
half is the column of an alias table, and the low half says which of its two records is drawn.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from reader.order.exact import Ids, Order

_STEP = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_HALF = np.uint64(32)


def drawn_order(table: NDArray[np.uint32], seed: int) -> Order:
    """Return epochs of as many draws as there are records; `table` is one of `reader.order.alias`.

    Nothing is kept for an epoch: some records come several times in it, others not at all.
    """
    rows = np.asarray(table)  # a map of a file is slower to index

    def compute(epoch: int, start: int, stop: int) -> Ids:
        product = _random(seed, epoch, start, stop), np.uint64(len(rows))
        column = _high_half(*product).astype(np.int64)
        cut, alias = rows[column].T
        low = (product[0] * product[1] >> _HALF).astype(np.uint32)
        return np.where(low < cut, column, alias)

    return Order(len(rows), compute)


def _random(seed: int, epoch: int, start: int, stop: int) -> NDArray[np.uint64]:
    """Return the random numbers of the positions `start` to `stop`."""
    digest = hashlib.shake_256(f"shardio:{seed}:{epoch} draws".encode()).digest(16)
    first, second = np.frombuffer(digest, dtype="<u8").astype(np.uint64)
    numbers = np.arange(start + 1, stop + 1, dtype=np.uint64)
    numbers *= _STEP
    numbers += first
    return _mixed(_mixed(numbers) ^ second)


def _mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scramble numbers, as SplitMix64 does."""
    numbers = (numbers ^ numbers >> np.uint64(30)) * _FIRST
    numbers = (numbers ^ numbers >> np.uint64(27)) * _SECOND
    return numbers ^ numbers >> np.uint64(31)


def _high_half(numbers: NDArray[np.uint64], factor: np.uint64) -> NDArray[np.uint64]:
    """Return the high 64 bits of numbers times a factor below 2^32."""
    low = (numbers & np.uint64(0xFFFFFFFF)) * factor
    return ((numbers >> _HALF) * factor + (low >> _HALF)) >> _HALF
