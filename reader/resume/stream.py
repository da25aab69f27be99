"""What makes the batches of a stream that is handed to Keras, and what its place depends on."""

from __future__ import annotations

from typing import Any

from reader.batching.batch_maker import BatchMaker
from shardio.errors import OptionError


def maker_of(stream: Any) -> BatchMaker:
    """Return what makes the batches of a stream, which may be mapped; raises OptionError."""
    pending = [stream]
    while pending:
        each = pending.pop()
        maker = getattr(each, "_shardio_maker", None)
        if isinstance(maker, BatchMaker):
            return maker
        # A dataset of TensorFlow knows those that it was made of.
        pending += getattr(each, "_inputs", list)()
    raise OptionError(
        "data must be a function that returns what to_tf_dataset or to_keras makes, such as "
        f"functools.partial(shards.to_tf_dataset, 128); it returned {type(stream).__name__}"
    )


def identity_of(maker: BatchMaker) -> dict[str, Any]:
    """Return what decides which sample comes at a step."""
    options, mix, draws = maker.options, maker.shards.mix, maker.options.draws
    return {
        "dataset": maker.shards.fingerprint,
        "shuffle": options.shuffle,
        "seed": options.seed,
        "start_epoch": options.start_epoch,
        "batch_size": options.batch_size,
        "steps": maker.steps,
        "block": options.block,
        "window": options.window,
        "lanes": options.lanes,
        "weights": None if draws is None else draws.digest,
        "places": None if mix is None else list(mix.places),
    }
