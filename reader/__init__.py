"""Shards in, batches out.

    from reader import open_shards

    shards = open_shards("shards/train-*.tfrecord")
    for x, ys in shards.batches(batch_size=128):
        ...

`find` finds the shards, `opening` checks them, `shardset` is what it gives. `order` and `window`
say which record comes when, `fetch` and `blocks` read records, `batch_maker` makes one batch and
`batches` a stream of them. `tensorflow_io`, `keras_io` and `torch_io` are thin adaptors.
"""

from reader.opening import open_shards
from reader.options import BatchOptions
from reader.shardset import ShardSet

__all__ = ["BatchOptions", "ShardSet", "open_shards"]
