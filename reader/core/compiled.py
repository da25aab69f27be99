"""The compiled module, where it could be built."""

from __future__ import annotations

import warnings
from typing import Any

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
