"""Batches as a `tf.data.Dataset`. With tensor_batch, the only file that imports tensorflow."""

from __future__ import annotations

import atexit
import itertools
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from threading import Lock
from typing import Any

import numpy as np

from reader.batching.batch_form import Batch
from reader.batching.batch_maker import BatchMaker
from reader.batching.memory import Pipeline
from reader.batching.options import BatchOptions
from reader.batching.rank import WorkerOfThen
from reader.dataset import Dataset
from reader.frameworks.calling_model import check_calling_model
from shardio.errors import MissingExtraError, ShardioError

try:
    import tensorflow as tf

    from reader.frameworks.tensor_batch import TensorBatch
except ImportError as error:
    raise MissingExtraError(
        "to_tf_dataset needs TensorFlow: it comes with shardio's extra [tensorflow]"
    ) from error

# Two threads, so that one batch is read while another is checked. Alive are those being made, those
# in TensorFlow's own queue, and those of this step and the one before.
_PIPELINE = Pipeline(threads=2, held=4, prefetch=(1, 2, 8))
# Of a pass: the number of a batch is pass * _MOST_BATCHES + its number in the pass.
_MOST_BATCHES = 2**40


class _Calls:
    """Counts the calls from TensorFlow's threads that are in Python now."""

    def __init__(self) -> None:
        self._running = 0
        self._lock = Lock()
        self._ending = False

    def __enter__(self) -> None:
        with self._lock:
            if self._ending:
                raise ShardioError("the interpreter is ending")
            self._running += 1

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            self._running -= 1

    def wait(self) -> None:
        """Wait until the threads are quiet.

        A thread that wants the interpreter's lock when Python is ending never gets it, and
        TensorFlow waits for that thread for ever. Its queues are bounded, so that it falls quiet.
        """
        self._ending = True
        quiet = 0
        for _ in range(200):
            quiet = 0 if self._running else quiet + 1
            if quiet == 5:
                return
            time.sleep(0.01)


@contextmanager
def _in_tensorflow() -> Iterator[None]:
    """Turn an error into one that TensorFlow shows: it keeps only a built-in's type."""
    try:
        yield
    except ShardioError as error:
        raise RuntimeError(f"{type(error).__name__}: {error}") from error


def _checked(total: int, known: weakref.ref[BatchMaker]) -> Callable[[], tf.Tensor]:
    """Return a `cardinality` that refuses a model to which the batches do not fit.

    Keras asks for it before it trains, unless it is told steps_per_epoch.
    """

    def cardinality() -> tf.Tensor:
        maker = known()
        if maker is not None:
            check_calling_model(maker)
        return tf.constant(total, dtype=tf.int64)

    return cardinality


_CALLS = _Calls()
atexit.register(_CALLS.wait)


def to_tf_dataset(shards: Dataset, options: BatchOptions, start_step: int = 0) -> tf.data.Dataset:
    """Make the dataset.

    A range over the steps is mapped to batches by several calls into Python; this is three times
    as fast as `from_generator`, which makes one call after the other and copies each array. A
    pooled array is aligned as TensorFlow wants it, so that it becomes a tensor without a copy.
    """
    then = WorkerOfThen(options.worker)
    pipeline = _PIPELINE.with_threads(options)
    counts = shards.counts.stream(sees_wait=False)
    maker = BatchMaker(shards, options, pipeline, start_step=start_step, counts=counts)
    first = maker.fix()
    options, steps = maker.options, maker.steps
    tensor_batch = TensorBatch(maker)
    # TensorFlow never forgets a Python function, so it must not hold the memory, the files and the
    # maps: a copy of the set has not opened any.
    known, shards = weakref.ref(maker), replace(shards)
    again: list[BatchMaker] = []

    passes = itertools.count()
    lock = Lock()
    last_known = -1

    def next_pass() -> np.int64:
        nonlocal last_known
        with _in_tensorflow():
            then.compare()
        with lock:
            number = next(passes)
            if known() is not None:
                last_known = number
            return np.int64(number)

    def made(shards: Dataset) -> BatchMaker:
        maker = BatchMaker(shards, options, pipeline, start_step=start_step, counts=counts)
        maker.fix(first)
        return maker

    def alive(number: int) -> BatchMaker:
        found = known()
        if found is not None:
            return found
        if number <= last_known:
            # The dataset was forgotten in the midst of a pass, and TensorFlow's threads go on for a
            # moment. This function must not keep for ever what they use.
            return made(replace(shards))
        with lock:  # a dataset within a graph has no Python object that keeps the maker
            if not again:
                again.append(made(shards))
            return again[0]

    def make(at: np.int64) -> list[Any]:
        number, index = divmod(int(at), _MOST_BATCHES)
        with _in_tensorflow(), _CALLS:
            parts = counts.measured(alive(number).make_item, number, index)
        with lock:
            counts.gave(parts)
        return tensor_batch.arrays(parts)

    @tf.autograph.experimental.do_not_convert  # type: ignore[untyped-decorator]
    def batch(at: tf.Tensor) -> Batch:
        return tensor_batch.batch(tf.numpy_function(make, [at], tensor_batch.dtypes))

    total = tf.data.INFINITE_CARDINALITY if options.epochs is None else steps * options.epochs
    batches = _MOST_BATCHES if options.epochs is None else total

    @tf.autograph.experimental.do_not_convert  # type: ignore[untyped-decorator]
    def one_pass(_: tf.Tensor) -> tf.data.Dataset:
        number = tf.numpy_function(next_pass, [], tf.int64)
        number.set_shape(())
        # One number says which batch: each further stage and argument would cost time.
        start = number * _MOST_BATCHES
        return tf.data.Dataset.range(start, start + batches)

    dataset = tf.data.Dataset.range(1).flat_map(one_pass)
    dataset = dataset.map(batch, num_parallel_calls=pipeline.threads, deterministic=True)
    dataset = dataset.prefetch(maker.memory.prefetch)
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(total))
    settings = tf.data.Options()
    # The files are no files to TensorFlow, and each replica would start a pass of its own.
    settings.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    # There is nothing to tune, and at the end of each pass TensorFlow would wait for the thread
    # that does, up to a second and more.
    settings.autotune.enabled = False
    dataset = dataset.with_options(settings)
    dataset._shardio_maker = maker
    dataset.cardinality = _checked(total, known)
    return dataset
