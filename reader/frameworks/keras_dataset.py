"""Batches as a `keras.utils.PyDataset`. The only file that imports keras."""

from __future__ import annotations

from functools import partial
from threading import Lock

import numpy as np

from reader.batching.batch_form import Batch, BatchForm
from reader.batching.batch_maker import BatchMaker
from reader.batching.memory import Pipeline
from reader.batching.options import BatchOptions
from reader.batching.rank import WorkerOfThen
from reader.dataset import Dataset
from reader.frameworks.calling_model import check_calling_model
from shardio.errors import MissingExtraError, OptionError

try:
    import keras
except ImportError as error:
    if error.name is not None and error.name != "keras":
        raise MissingExtraError(
            f"Keras cannot be imported, since it lacks {error.name}: its backend is the one that "
            "KERAS_BACKEND names (tensorflow, torch, jax), or ~/.keras/keras.json"
        ) from error
    raise MissingExtraError(
        "to_keras needs Keras: it comes with shardio's extra [tensorflow]"
    ) from error


# Keras asks for one item after the other and copies it.
_PIPELINE = Pipeline(threads=1, held=2, prefetch=(0, 0, 0))


class KerasBatches(keras.utils.PyDataset):  # type: ignore[misc]  # keras ships no types
    """A PyDataset whose items depend on their index and on the number of passes that have ended.

    `fit` looks at a few items before the first epoch and then calls `on_epoch_end`, for a pass that
    never was. So an end counts only

    - after `on_epoch_begin`, if every item was asked for since the last end;
    - without `on_epoch_begin`, as in a loop of the user's own, if the next call asks for an item.

    With `steps_per_epoch` Keras ends epochs in the middle of a pass, and goes on there with the
    next one. Keras's `workers` may be threads, which share the count of passes, but not processes.
    """

    def __init__(self, shards: Dataset, options: BatchOptions, start_step: int = 0) -> None:
        threads = options.transform_threads if options.transform is not None else 1
        pipeline = _PIPELINE
        if threads > 1:
            # Keras's own threads make batches in order. Besides those in its queue one waits for
            # a place there.
            pipeline = Pipeline(threads, _PIPELINE.held + threads + 1, _PIPELINE.prefetch)
        super().__init__(workers=threads, max_queue_size=threads if threads > 1 else 10)
        if options.rows:
            raise OptionError("rows=True is not for Keras, which takes a third element for weights")
        self._then = WorkerOfThen(options.worker)
        self._maker = BatchMaker(shards, options, pipeline, start_step=start_step)
        self._shardio_maker = self._maker
        self._maker.fix()
        self._form = BatchForm.of(self._maker.spec.heads, as_dict=options.as_dict)
        self._passes = 0
        self._begun = False
        self._unsure = 0
        self._asked = np.zeros(len(self), dtype=bool)
        self._lock = Lock()

    @property
    def num_batches(self) -> int | None:
        """The number of batches of a pass, None without an end."""
        # Keras asks before it trains.
        maker = self._maker
        check_calling_model(maker)
        return None if maker.options.epochs is None else len(self)

    @property
    def use_multiprocessing(self) -> bool:
        """Whether Keras may read with processes, which would not learn of the passes that end."""
        return False

    @use_multiprocessing.setter
    def use_multiprocessing(self, value: bool) -> None:
        if value:
            raise OptionError(
                "use_multiprocessing is not for to_keras: each epoch would have the first order. "
                "Batches are read by threads of compiled code; for batches that are made ahead "
                "give fit a to_tf_dataset, or set workers to a number of threads"
            )

    def __len__(self) -> int:
        return self._maker.steps * (self._maker.options.epochs or 1)

    def __getitem__(self, index: int) -> Batch:
        if self.num_batches is not None and not 0 <= index < len(self):
            raise IndexError(f"batch {index} of {len(self)}")
        with self._lock:
            if not self._asked.any():  # a pass begins
                self._then.compare()
            self._passes += self._unsure
            self._unsure = 0
            self._asked[index % len(self)] = True
            number = self._passes
        make = partial(self._maker.make_item, number, index)
        counts = self._maker.counts
        return self._form.for_keras(counts.wait(partial(counts.measured, make)))

    def on_epoch_begin(self) -> None:
        """Note that `fit` starts an epoch."""
        with self._lock:
            self._begun = True
            self._unsure = 0

    def on_epoch_end(self) -> None:
        """Go on to the next order."""
        with self._lock:
            if not self._begun:
                # Threads of Keras ask for items before `on_epoch_begin`: a whole pass counts only.
                if self.workers == 1 or self._asked.all():
                    self._unsure += 1
                self._asked[:] = False
            elif self._asked.all():
                self._passes += 1
                self._asked[:] = False
            self._begun = False
