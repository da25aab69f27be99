"""What makes the batches of a stream that is handed to Keras, and what its place depends on."""

from __future__ import annotations

from typing import Any

from reader.batching.batch_maker import BatchMaker
from shardio.errors import OptionError

# What leaves each batch at its step, of the datasets that TensorFlow makes of others.
_SAME_PLACES = {"Map", "ParallelMap", "Prefetch", "Options", "AssertCardinality", "CopyToDevice"}


def maker_of(stream: Any) -> BatchMaker:
    """Return what makes the batches of a stream, which may be mapped.

    Raises OptionError for what is no such stream, and for one of TensorFlow that gives batches at
    other steps: its place could not be found again.
    """
    pending, above = [stream], list[Any]()
    while pending:
        each = pending.pop()
        maker = getattr(each, "_shardio_maker", None)
        if isinstance(maker, BatchMaker):
            _refuse_other_places(above)
            return maker
        # A dataset of TensorFlow knows those that it was made of.
        above.append(each)
        pending += getattr(each, "_inputs", list)()
    raise OptionError(
        "data must be a function that returns what to_tf_dataset or to_keras makes, such as "
        f"functools.partial(shards.to_tf_dataset, 128); it returned {type(stream).__name__}"
    )


def _refuse_other_places(datasets: list[Any]) -> None:
    for dataset in datasets:
        name = type(dataset).__name__.strip("_").removesuffix("Dataset")
        if name not in _SAME_PLACES:
            raise OptionError(
                f"{name} of tf.data gives other batches at a step than to_tf_dataset, so that the "
                "place of a save would not be found again: only map() and prefetch() may follow "
                "it. batch_size=, weights=, mix() and parts of the set may serve instead"
            )
        # Of a map with num_parallel_calls.
        if getattr(dataset, "_deterministic", None) == "false":
            raise OptionError("map() with deterministic=False mixes up the batches: leave it out")


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
