"""One batch: which records, read into pooled memory, as the caller wants to see them."""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from reader.block_advice import BlockAdvice
from reader.blocks import BlockFetcher
from reader.cache_filler import FILLER_BYTES
from reader.label_arrays import LabelArrays
from reader.memory import BLOCKS_AHEAD, Pipeline, plan_memory
from reader.options import BatchOptions
from reader.order import Order
from reader.pool import Pool, Room
from reader.read_ahead import ReadAhead
from reader.replacement import fetch_another
from reader.skipped import Skipped
from reader.source import RecordSource
from reader.waiting import Begun, Waiting
from reader.window import WindowOrder
from shardio.errors import CorruptRecordError, OptionError

if TYPE_CHECKING:
    from reader.shardset import ShardSet

Array = NDArray[Any]
# (x, [y0, y1, ...]), and the rows as a third element if asked for; a union of the two would
# have every caller check what it has itself chosen.
Batch = tuple[Any, ...]


# More steps than this are computed again: each takes some 300 bytes, and its records.
_MOST_AHEAD = 2048


@dataclass(frozen=True)
class _Reading:
    """How records are read in an epoch: from blocks that are held, or each, with advice or not."""

    in_blocks: bool
    source: RecordSource | BlockFetcher
    block_advice: BlockAdvice | None


class BatchMaker:
    """Makes any batch of a stream: a pure function of the epoch and the position in it.

    The memory for the batches that `pipeline` keeps alive at once is taken at the first batch and
    used again, so that what the reader owns does not depend on how long it reads, nor on luck.
    """

    def __init__(self, shards: ShardSet, options: BatchOptions, pipeline: Pipeline) -> None:
        self.shards = shards
        self.options = options
        self.steps = options.steps(len(shards))
        if self.steps == 0:
            raise OptionError(
                f"the set has {len(shards)} records, not one batch of {options.batch_size} for "
                f"each of {options.share[1]} workers; choose a smaller batch_size, or pad=True"
                if options.share[1] > 1
                else f"the set has {len(shards)} records, not one batch of {options.batch_size}; "
                "choose a smaller batch_size, or drop_remainder=False"
            )
        unknown = [label.name for label in shards.labels if not label.classes]
        if options.one_hot and unknown:
            raise OptionError(
                f"one_hot needs the number of classes of {', '.join(unknown)}, and there is no "
                "dataset.json beside the shards; give classes= to open_shards"
            )
        layout = shards.layout
        self.skipped = Skipped()
        source = shards.source(
            verify=options.verify, skipped=self.skipped if options.on_error == "skip" else None
        )
        floats = options.dtype == "float32"
        # Whether the source makes float images itself.
        self._scales = source.scales and floats
        self.memory = plan_memory(
            layout,
            shards.labels,
            len(shards),
            options,
            pipeline,
            scales=source.scales,
            in_blocks=source.in_blocks,
            cache_bytes=0 if shards.cache is None else FILLER_BYTES,
        )
        self._order: Order | WindowOrder
        if options.shuffle == "window":
            block, window = self.memory.block, self.memory.window
            lanes = options.lanes or options.share[1]
            self.options = options = replace(options, block=block, window=window, lanes=lanes)
            owned = lanes // options.share[1]
            self._order = WindowOrder(len(shards), options.seed, block, window, lanes, owned)
        else:
            self._order = Order(len(shards), options.shuffle, options.seed)
        # Steps whose records were computed to look ahead, and how many these may be: a window.
        self._known_ids: OrderedDict[tuple[int, int], NDArray[np.int64]] = OrderedDict()
        window_records = self.memory.window * self.memory.block * (options.lanes or 1)
        steps_ahead = window_records // options.step_size + 8
        self._steps_ahead = steps_ahead if steps_ahead <= _MOST_AHEAD else 0
        self._source = source
        self._reading = self._choose_reading()
        self._read_ahead = ReadAhead()
        self._epoch = -1
        alive, size = self.memory.alive, options.batch_size
        converts = floats and not self._scales
        dtype = options.dtype if self._scales else "uint8"
        self._rooms: Pool[Any] = Pool(
            lambda: source.room(size, dtype), pipeline.threads if converts else alive
        )
        self._floats = Pool(
            lambda: Room(size, layout.image_bytes, "float32"), alive if converts else 0
        )
        self._labels = LabelArrays(shards.labels, size, alive, one_hot=options.one_hot)

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
        options = self.options
        if epoch > self._epoch:
            self._epoch = epoch
            self._source.new_epoch()
            if self._source.in_blocks != self._reading.in_blocks:
                self._reading = self._choose_reading()
        reading = self._reading
        ids = self._ids(epoch, start)
        room = self._rooms.take()
        begun = Waiting.begin()
        integers = self._fetch(reading.source, ids, room)
        self._look_ahead(reading, epoch, start, ids, begun)
        count = len(ids)
        if options.pad and count < options.batch_size:
            room.array[count:] = 0
            integers = np.concatenate(
                [integers, np.zeros((options.batch_size - count, integers.shape[1]), np.int64)]
            )
            integers[count:, -1] = -1
        labels = self._labels.make(integers)
        batch: Batch = self._images(room, len(integers)), labels
        if options.pad:
            batch = *batch, (np.arange(len(integers)) < count).astype(np.float32)
        if options.rows:
            batch = *batch, integers[:, -1].copy()
        return batch

    def _fetch(
        self, source: RecordSource | BlockFetcher, ids: NDArray[np.int64], room: Any
    ) -> NDArray[np.int64]:
        """Read records; with `on_error="skip"`, another one of the set in place of all of them.

        In place of some comes another one of the same step.
        """
        try:
            return source.fetch(ids, room)
        except CorruptRecordError:
            if self.options.on_error != "skip":
                raise
        return fetch_another(source, ids, room, len(self.shards))

    def close(self) -> None:
        """Close the files; they are opened again when they are needed."""
        self._reading.source.close()

    def _ids(self, epoch: int, start: int) -> NDArray[np.int64]:
        """Return the records of this rank's part of a step."""
        key = epoch, start
        known = self._known_ids.pop(key, None)
        if known is not None:
            return known
        stop = start + self.options.step_size
        if not self.options.pad:
            stop = min(stop, len(self.shards))
        return self._order.share(epoch, start, stop, *self.options.share)

    def _choose_reading(self) -> _Reading:
        """Hold whole blocks where a read is slow to begin, unless records are in exact order."""
        source, shuffle = self._source, self.options.shuffle
        records, block, held = len(self.shards), self.memory.block, self.memory.blocks_held
        if source.in_blocks and shuffle != "exact":
            blocks = BlockFetcher(source, self.shards.layout, records, block, held)
            return _Reading(source.in_blocks, blocks, None)
        advice = BlockAdvice(source, records, block, held) if shuffle == "window" else None
        return _Reading(source.in_blocks, source, advice)

    def _look_ahead(
        self,
        reading: _Reading,
        epoch: int,
        start: int,
        ids: NDArray[np.int64],
        begun: Begun,
    ) -> None:
        """Prepare what comes later, after a step that has read `ids` since `begun`."""
        source, block_advice = reading.source, reading.block_advice
        if isinstance(source, BlockFetcher) and self.options.shuffle == "none":
            ahead = [number * self.memory.block for number in range(1, BLOCKS_AHEAD + 1)]
            found = [self._later(epoch, start, distance) for distance in ahead]
            parts = [part for part in found if part is not None]
            if parts:
                source.prepare(np.concatenate(parts))
            return
        if isinstance(source, BlockFetcher) or block_advice is not None:
            # The same place in the next window: the steps of this one bring in its blocks.
            lanes = self.options.lanes or 1
            later = self._later(epoch, start, self.memory.window * self.memory.block * lanes)
            if block_advice is not None:
                block_advice.now(ids)
            if later is None or not len(later):
                return
            if isinstance(source, BlockFetcher):
                source.prepare(later)
            elif block_advice is not None:
                block_advice.later(later)
            return

        def advise(steps: int) -> None:
            ids = self._later(epoch, start, steps * self.options.step_size)
            if ids is not None and len(ids):
                source.advise(ids)

        self._read_ahead.after(begun, self.options.batch_size, advise)

    def _later(self, epoch: int, start: int, distance: int) -> NDArray[np.int64] | None:
        """Return the records of the step that is about `distance` ahead, maybe in the next epoch.

        None where it is not of the same pass.
        """
        options = self.options
        length = self.steps * options.step_size
        step = start + distance - distance % options.step_size
        later = epoch + step // length
        # A stream that was resumed is not where steps begin that are counted from 0.
        step = step if later == epoch else step % length // options.step_size * options.step_size
        if options.epochs is not None:
            this_pass = (epoch - options.start_epoch) // options.epochs
            if later >= options.start_epoch + (this_pass + 1) * options.epochs:
                return None
        ids = self._ids(later, step)
        if self._steps_ahead:
            # They need not be computed again when their turn comes.
            self._known_ids[later, step] = ids
            if len(self._known_ids) > self._steps_ahead:
                with suppress(KeyError):  # another thread may have taken the last one
                    self._known_ids.popitem(last=False)
        return ids

    def _images(self, room: Any, count: int) -> Array:
        """Turn the pixels of a room into images; the room is not used by the caller any more."""
        shape = (count, *self.shards.shape)
        if self.options.dtype == "uint8" or self._scales:
            return self._rooms.lease(room)[:count].reshape(shape)
        memory = self._floats.take()
        np.divide(room.array[:count], np.float32(255), out=memory.array[:count])
        self._rooms.give(room)
        return self._floats.lease(memory)[:count].reshape(shape)
