"""Batches: made by step number, and handed out ahead of time by a thread."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from reader.fetch import Fetcher, Slot
from reader.options import BatchOptions
from reader.order import Order
from reader.pool import Pool, aligned
from shardio.errors import DatasetError, OptionError

if TYPE_CHECKING:
    from reader.shardset import ShardSet

Array = NDArray[Any]
# (x, [y0, y1, ...]), and the rows as a third element if asked for; a union of the two would
# have every caller check what it has itself chosen.
Batch = tuple[Any, ...]

# Batches made ahead of the one that the caller works on. More would only hide a storage that is
# too slow for a moment; on average it cannot help. One thread makes them: a second one gets no
# further, as each read gives up the interpreter's lock and has to win it back (benchmarks/read.py).
_PREFETCH = 2
_THREADS = 1
# The prefetched ones, the one that the caller works on, and the one before it, which the caller's
# variable still holds while the next is asked for.
_ALIVE = _PREFETCH + 2


@dataclass(frozen=True)
class _Floats:
    """Pooled memory of a float32 batch."""

    array: NDArray[np.float32]


class BatchMaker:
    """Makes any batch of a stream: a pure function of the epoch and the step.

    `threads` may make batches at once, and `alive` batches are looked at at once, the one that is
    being made among them; the memory for so many is taken at the first batch and used again, so
    that what the reader owns does not depend on how long it reads, nor on luck.
    """

    def __init__(
        self, shards: ShardSet, options: BatchOptions, *, threads: int, alive: int
    ) -> None:
        self.shards = shards
        self.options = options
        self.steps = options.steps(len(shards))
        if self.steps == 0:
            raise OptionError(
                f"the set has {len(shards)} records, not one batch of {options.batch_size}; "
                "choose a smaller batch_size, or drop_remainder=False"
            )
        unknown = [label.name for label in shards.labels if not label.classes]
        if options.one_hot and unknown:
            raise OptionError(
                f"one_hot needs the number of classes of {', '.join(unknown)}, and there is no "
                "dataset.json beside the shards; give classes= to open_shards"
            )
        self._order = Order(len(shards), options.shuffle, options.seed)
        self._fetcher = Fetcher(list(shards.shards), shards.layout, verify=options.verify)
        floats = options.dtype == "float32"
        self._slots = Pool(
            lambda: Slot(shards.layout, options.batch_size), threads if floats else alive
        )
        self._floats = Pool(self._new_floats, alive if floats else 0)

    def make(self, epoch: int, step: int) -> Batch:
        """Make batch `step` of `epoch`."""
        size = self.options.batch_size
        first = step * size
        ids = self._order.ids(epoch, first, min(first + size, len(self.shards)))
        slot = self._slots.take()
        integers = self._fetcher.fetch(ids, slot)
        images = self._images(slot, len(ids))
        labels = [
            self._label(integers[:, index], index) for index in range(len(self.shards.labels))
        ]
        if self.options.rows:
            return images, labels, integers[:, -1].copy()
        return images, labels

    def _images(self, slot: Slot, count: int) -> Array:
        """Turn the pixels of a slot into images; the slot is not used by the caller any more."""
        shape = (count, *self.shards.shape)
        if self.options.dtype == "uint8":
            return self._slots.lease(slot)[:count].reshape(shape)
        memory = self._floats.take()
        np.divide(slot.array[:count], np.float32(255), out=memory.array[:count])
        self._slots.give(slot)
        return self._floats.lease(memory)[:count].reshape(shape)

    def _new_floats(self) -> _Floats:
        shape = self.options.batch_size, self.shards.layout.image_bytes
        size = shape[0] * shape[1] * np.dtype(np.float32).itemsize
        return _Floats(aligned(size).view(np.float32).reshape(shape))

    def _label(self, values: NDArray[np.int64], index: int) -> Array:
        label = self.shards.labels[index]
        if label.classes and values.max() >= label.classes:
            raise DatasetError(
                f"label {label.name} is {values.max()}, but it has {label.classes} classes"
            )
        if not self.options.one_hot:
            return values.astype(np.int32)
        one_hot = np.zeros((len(values), label.classes), dtype=np.float32)
        one_hot[np.arange(len(values)), values] = 1
        return one_hot


class Batches(Iterator[Batch]):
    """The batches of a stream, in order, made ahead by a thread.

    `len` is the number of batches of one epoch. `close` ends the thread, as does forgetting the
    iterator; `with` may be used.
    """

    def __init__(self, shards: ShardSet, options: BatchOptions) -> None:
        self._maker = maker = BatchMaker(shards, options, threads=_THREADS, alive=_ALIVE)
        epochs = (
            itertools.count(options.start_epoch)
            if options.epochs is None
            else range(options.start_epoch, options.start_epoch + options.epochs)
        )
        self._waiting = ((epoch, step) for epoch in epochs for step in range(maker.steps))
        self._ahead: deque[Future[Batch]] = deque()
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="shardio-batches")
        self._closed = False

    def __len__(self) -> int:
        return self._maker.steps

    def __next__(self) -> Batch:
        if self._closed:
            raise StopIteration
        for epoch, step in itertools.islice(self._waiting, _PREFETCH + 1 - len(self._ahead)):
            self._ahead.append(self._pool.submit(self._maker.make, epoch, step))
        if not self._ahead:
            self.close()
            raise StopIteration
        try:
            return self._ahead.popleft().result()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Stop making batches; the iterator is at its end."""
        self._closed = True
        self._ahead.clear()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def __enter__(self) -> Batches:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
