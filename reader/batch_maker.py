"""One batch: which records, read into pooled memory, as the caller wants to see them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from reader.blocks import BlockFetcher
from reader.fetch import Fetcher, Slot
from reader.options import BatchOptions
from reader.order import Order
from reader.pool import Pool, aligned
from reader.window import WindowOrder
from shardio.errors import DatasetError, OptionError

if TYPE_CHECKING:
    from reader.shardset import ShardSet

Array = NDArray[Any]
# (x, [y0, y1, ...]), and the rows as a third element if asked for; a union of the two would
# have every caller check what it has itself chosen.
Batch = tuple[Any, ...]

# A block of the window order: long enough that a disk, or a network, spends its time reading.
_BLOCK_BYTES = 4_000_000


@dataclass(frozen=True)
class _Floats:
    """Pooled memory of a float32 batch."""

    array: NDArray[np.float32]


class BatchMaker:
    """Makes any batch of a stream: a pure function of the epoch and the position in it.

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
                f"the set has {len(shards)} records, not one batch of {options.batch_size} for "
                f"each of {options.worker[1]} workers; choose a smaller batch_size"
                if options.worker[1] > 1
                else f"the set has {len(shards)} records, not one batch of {options.batch_size}; "
                "choose a smaller batch_size, or drop_remainder=False"
            )
        unknown = [label.name for label in shards.labels if not label.classes]
        if options.one_hot and unknown:
            raise OptionError(
                f"one_hot needs the number of classes of {', '.join(unknown)}, and there is no "
                "dataset.json beside the shards; give classes= to open_shards"
            )
        self._order: Order | WindowOrder
        self._fetcher: Fetcher | BlockFetcher
        fetcher = Fetcher(list(shards.shards), shards.layout, verify=options.verify)
        if options.shuffle == "window":
            world = options.worker[1]
            lanes = options.lanes or world
            block = options.block or max(1, _BLOCK_BYTES // shards.layout.stride)
            self.options = options = replace(options, block=block, lanes=lanes)
            self._order = WindowOrder(len(shards), options.seed, block, options.window, lanes)
            # Each lane has one window at a time, and at its end the first block of the next.
            held = (options.window + 1) * lanes // world
            self._fetcher = BlockFetcher(fetcher, shards.layout, len(shards), block, held)
        else:
            self._order = Order(len(shards), options.shuffle, options.seed)
            self._fetcher = fetcher
        floats = options.dtype == "float32"
        self._slots = Pool(
            lambda: Slot(shards.layout, options.batch_size), threads if floats else alive
        )
        self._floats = Pool(self._new_floats, alive if floats else 0)

    def make_item(self, number: int, index: int) -> Batch:
        """Make batch `index` of pass `number`, a pass being `epochs` epochs.

        Without an end there is one pass, and the index tells the epoch.
        """
        epoch, step = divmod(index, self.steps)
        first = self.options.start_epoch + number * (self.options.epochs or 0)
        return self.make(first + epoch, step * self.options.step_size)

    def make(self, epoch: int, start: int) -> Batch:
        """Make the batch of the step that starts at position `start` of `epoch`.

        The step takes the next `step_size` positions, and each rank an equal part of them.
        """
        stop = min(start + self.options.step_size, len(self.shards))
        ids = self._order.share(epoch, start, stop, *self.options.worker)
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
