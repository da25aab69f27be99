"""Shards in, batches out.

    from reader import open_shards

    shards = open_shards("shards/train-*.tfrecord")
    for x, ys in shards.batches(batch_size=128):
        ...

`find` finds the shards, `opening` checks them, `shardset` is what it gives. `order` and `window`
say which record comes when, `fetch` and `blocks` read records, `batch_maker` makes one batch and
`batches` a stream of them. `tensorflow_io`, `keras_io` and `torch_io` are thin adaptors.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reader.opening import open_shards
    from reader.options import BatchOptions
    from reader.shardset import ShardSet

__all__ = ["BatchOptions", "ShardSet", "open_shards"]

# Imported when they are asked for: `python -m reader` imports this file first, and Ctrl-C during
# the imports is to be caught.
_PLACES = {"BatchOptions": "options", "ShardSet": "shardset", "open_shards": "opening"}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
