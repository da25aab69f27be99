"""The compiled module, where it could be built, and what NumPy does in its place."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shardio.permutation import Permutation

# None where it is missing: what needs it is made only where `has_core`.
core: Any
try:
    from reader.core import _core as core
except ImportError:
    core = None


def has_core() -> bool:
    """Whether the compiled code is there; says so once where it is not."""
    if core is None:
        warnings.warn(
            "shardio's compiled code is missing (it is built on installation, with a C compiler); "
            "NumPy reads instead, and takes several times as long",
            RuntimeWarning,
            stacklevel=2,
        )
    return core is not None


def permuted(permutation: Permutation, start: int, stop: int) -> NDArray[np.int64]:
    """Return what stands at the positions `start` to `stop`, which must be in its range."""
    if core is None:
        return permutation(np.arange(start, stop))
    values = np.empty(stop - start, dtype=np.int64)
    core.permute(
        permutation.keys,
        permutation.high_bits,
        permutation.low_bits,
        permutation.size,
        start,
        values,
    )
    return values
