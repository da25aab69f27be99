"""A keyed bijection of range(size), computed by position: a shuffle that takes no memory.

A Feistel network of twelve rounds over the smallest power of two that holds `size`, with cycle
walking: a value outside the range is sent through again until it falls inside. That ends, since
the network is a bijection of the larger range, and keeps it a bijection of the smaller one (Black
and Rogaway, Ciphers with Arbitrary Finite Domains, 2002). The range is less than twice `size`, so
that a position takes less than two passes on average.

The order is part of the format: a seed must give the same order for ever. tests/test_permutation.py
pins it.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

MAX_SIZE = 2**62

# Eight were visibly uneven for sizes of five and six, over many seeds; twelve are not.
_ROUNDS = 12
# Any odd number with well mixed bits does; this is the 64-bit golden ratio, as in splitmix64.
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
# A block of positions and its temporaries stay in the L2 cache.
_BLOCK = 8192


class Permutation:
    """The permutation of range(size) that `seed` and `stream` name.

    `stream` tells permutations of one seed apart: the epoch, say, or the name of a split. `keys`
    are those of the rounds, and `high_bits` and `low_bits` the sizes of the halves.
    """

    def __init__(self, size: int, seed: int, stream: int | str = 0) -> None:
        if not 0 <= size <= MAX_SIZE:
            raise ValueError(f"size must be 0 to 2^62, not {size}")
        self.size = size
        keys = hashlib.shake_256(f"shardio:{seed}:{stream}".encode()).digest(8 * _ROUNDS)
        self.keys = np.frombuffer(keys, dtype="<u8").astype(np.uint64)
        bits = max(2, (size - 1).bit_length())
        self.low_bits = bits // 2
        self.high_bits = bits - self.low_bits

    def __call__(self, positions: NDArray[np.integer]) -> NDArray[np.int64]:
        """Return what stands at each of `positions`, which must be in range(size)."""
        flat = np.asarray(positions, dtype=np.int64).ravel()
        if flat.size and not 0 <= int(flat.min()) <= int(flat.max()) < self.size:
            raise IndexError(f"positions must be 0 to {self.size - 1}")
        out = flat.astype(np.uint64)
        for start in range(0, len(out), _BLOCK):
            self._walk(out[start : start + _BLOCK])
        return out.astype(np.int64).reshape(np.shape(positions))

    def inverse(self, values: NDArray[np.integer]) -> NDArray[np.int64]:
        """Return the positions at which `values` stand, which must be in range(size)."""
        flat = np.asarray(values, dtype=np.int64).ravel()
        if flat.size and not 0 <= int(flat.min()) <= int(flat.max()) < self.size:
            raise IndexError(f"values must be 0 to {self.size - 1}")
        out = flat.astype(np.uint64)
        for start in range(0, len(out), _BLOCK):
            self._walk(out[start : start + _BLOCK], backwards=True)
        return out.astype(np.int64).reshape(np.shape(values))

    def _walk(self, values: NDArray[np.uint64], backwards: bool = False) -> None:
        """Replace each value, walking on until it is in the range."""
        values[:] = self._network(values, backwards)
        outside = np.flatnonzero(values >= np.uint64(self.size))
        while outside.size:
            again = self._network(values[outside], backwards)
            values[outside] = again
            outside = outside[again >= np.uint64(self.size)]

    def _network(self, values: NDArray[np.uint64], backwards: bool) -> NDArray[np.uint64]:
        halves = [
            values >> np.uint64(self.low_bits),
            values & np.uint64((1 << self.low_bits) - 1),
        ]
        bits = self.high_bits, self.low_bits
        # Every round changes one half by a hash of the other, and so is undone by itself.
        for number in reversed(range(_ROUNDS)) if backwards else range(_ROUNDS):
            side = number % 2
            halves[side] ^= _mix(halves[1 - side], self.keys[number], bits[side])
        return (halves[0] << np.uint64(self.low_bits)) | halves[1]


def _mix(half: NDArray[np.uint64], key: np.uint64, bits: int) -> NDArray[np.uint64]:
    """Hash one half under the round's key to `bits` bits."""
    mixed = (half ^ key) * _MULTIPLIER
    mixed ^= mixed >> np.uint64(32)
    mixed *= _MULTIPLIER
    mixed >>= np.uint64(64 - bits)
    return mixed
