"""Loaders of Hugging Face accelerate, which share the batches of a set among processes themselves.

What a process reads of a set that is shared already would be shared again, and the rest of the
records never seen. Nothing is imported here: a loader that reads is among the callers.
"""

from __future__ import annotations

import sys
from types import FrameType

from shardio.errors import OptionError

_MODULE = "accelerate.data_loader"
# A SkipDataLoader reads one of these, or a loader that shares nothing.
_SHARE = ("DataLoaderDispatcher", "DataLoaderShard", "IterableDatasetShard")


def refuse_shared_twice(worker: tuple[int, int]) -> None:
    """Raise OptionError where a loader of accelerate reads what a single worker gets."""
    if worker[1] > 1 and _reads():
        raise OptionError(
            f"accelerate shares the batches of a loader that it has prepared, and this set is "
            f"shared already, as worker {worker}: give to_torch worker=(0, 1), or do not prepare "
            "the loader"
        )


def _reads() -> bool:
    """Return whether such a loader is among the callers."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        # It changes the class of its loaders, and keeps the name.
        if (
            frame.f_globals.get("__name__") == _MODULE
            and type(frame.f_locals.get("self")).__name__ in _SHARE
        ):
            return True
        frame = frame.f_back
    return False
