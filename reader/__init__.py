"""Shards in, batches out.

    from reader import open_shards

    shards = open_shards("shards/train-*.tfrecord")
    for x, ys in shards.batches(batch_size=128):
        ...

docs/design.md shows the rooms and the life of a batch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reader.batching.options import BatchOptions
    from reader.frameworks.keras_stalls import StallCallback
    from reader.opening.mix import mix
    from reader.opening.open_shards import open_shards
    from reader.shardset import ShardSet
    from reader.stats.stall_monitor import StallMonitor

__all__ = ["BatchOptions", "ShardSet", "StallCallback", "StallMonitor", "mix", "open_shards"]

# Imported when they are asked for: `python -m reader` imports this file first, and Ctrl-C during
# the imports is to be caught.
_PLACES = {
    "BatchOptions": "batching.options",
    "ShardSet": "shardset",
    "StallCallback": "frameworks.keras_stalls",
    "StallMonitor": "stats.stall_monitor",
    "mix": "opening.mix",
    "open_shards": "opening.open_shards",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
