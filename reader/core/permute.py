"""Neighbouring positions of a permutation: compiled where that can be had."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from reader.core import compiled
from shardio.permutation import Permutation


def permuted(permutation: Permutation, start: int, stop: int) -> NDArray[np.int64]:
    """Return what stands at the positions `start` to `stop`, which must be in its range."""
    if compiled.core is None:
        return permutation(np.arange(start, stop))
    values = np.empty(stop - start, dtype=np.int64)
    compiled.core.permute(
        permutation.keys,
        permutation.high_bits,
        permutation.low_bits,
        permutation.size,
        start,
        values,
    )
    return values
