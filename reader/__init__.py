"""Shards in, batches out.

    from reader import open_shards

    shards = open_shards("shards/train-*.tfrecord")
    for x, ys in shards.batches(batch_size=128):
        ...

`opening` finds the shards and checks them, `shardset` is what it gives, `order` says which record
comes when, `fetch` reads records, `batches` makes batches of them. `tensorflow_io`, `keras_io` and
`torch_io` are thin adaptors around the same batches.
"""

from reader.opening import open_shards
from reader.options import BatchOptions
from reader.shardset import ShardSet

__all__ = ["BatchOptions", "ShardSet", "open_shards"]
