"""One batch: which records, read into pooled memory, as the caller wants to see them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reader.batching.batch_form import BatchParts
from reader.batching.label_arrays import LabelArrays
from reader.batching.memory import BLOCKS_AHEAD, Pipeline, plan_memory
from reader.batching.options import BatchOptions
from reader.batching.read_ahead import ReadAhead
from reader.batching.replacement import replace_skipped
from reader.batching.steps import Steps
from reader.blocks.block_advice import BlockAdvice
from reader.blocks.block_fetch import BlockFetcher
from reader.cache.filler import FILLER_BYTES
from reader.dataset import Dataset
from reader.fetch.pool import Pool, Room
from reader.fetch.skipped import SKIPPED, Skipped
from reader.fetch.source import Fetch, RecordSource
from shardio.errors import OptionError
from shardio.grammar import counted

Array = NDArray[Any]
# Blocks are prepared when others are needed than before, and every so many steps.
_PREPARED = 4


@dataclass(frozen=True)
class _Reading:
    """How records are read in an epoch: from blocks that are held, or each, with advice or not."""

    records: RecordSource
    source: RecordSource | BlockFetcher
    block_advice: BlockAdvice | None


@dataclass(frozen=True)
class BegunBatch:
    """A batch that is being made: the records `ids` of a step come into `room`."""

    maker: BatchMaker
    epoch: int
    start: int
    ids: NDArray[np.int64]
    room: Any
    fetch: Fetch
    reading: _Reading

    def result(self) -> BatchParts:
        """Wait for the batch and return its parts."""
        return self.maker.end(self)


class BatchMaker:
    """Makes any batch of a stream: a pure function of the epoch and the position in it.

    The memory for the batches that `pipeline` keeps alive at once is taken at the first batch and
    used again, so that what the reader owns does not depend on how long it reads, nor on luck.
    With `parts` it makes only each so many-th batch of an epoch. `skipped` counts on.
    """

    def __init__(
        self,
        shards: Dataset,
        options: BatchOptions,
        pipeline: Pipeline,
        *,
        parts: int = 1,
        skipped: Skipped | None = None,
    ) -> None:
        self.shards = shards
        self.options = options = options.located()
        if options.steps(len(shards)) == 0:
            raise OptionError(
                f"the set has {counted(len(shards), 'record')}, not one batch of "
                f"{options.batch_size} for "
                f"each of {options.share[1]} workers; choose a smaller batch_size, or pad=True"
                if options.share[1] > 1
                else f"the set has {counted(len(shards), 'record')}, not one batch of "
                f"{options.batch_size}; "
                "choose a smaller batch_size, or drop_remainder=False"
            )
        others = [label for label in shards.labels if not label.kind.is_class]
        if options.one_hot and others:
            raise OptionError(
                f"one_hot is for labels of one integer, and {others[0].name} is {others[0]}; take "
                "batches without it"
            )
        unknown = [label.name for label in shards.labels if not label.classes]
        if options.one_hot and unknown:
            raise OptionError(
                f"one_hot needs the number of classes of {', '.join(unknown)}, and there is no "
                "dataset.json beside the shards; give classes= to open_shards"
            )
        layout = shards.layout
        read_here = len(shards) // (options.share[1] * parts)
        self.skipped = skipped or Skipped(options.most_skipped(read_here), read_here)
        self._sources = shards.sources(
            verify=options.verify, skipped=self.skipped if options.on_error == "skip" else None
        )
        source = self._sources.first
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
        if options.shuffle == "window":
            block, window = self.memory.block, self.memory.window
            lanes = options.lanes or options.share[1]
            self.options = options = replace(options, block=block, window=window, lanes=lanes)
        self._steps = Steps(options, len(shards))
        self.steps = self._steps.count
        # The mean over all positions, filled ones too, of weighted losses is that of the records.
        self._weight = self.steps * options.step_size / len(shards)
        self._reading = self._reading_from(source)
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
        self._labels = LabelArrays(
            shards.labels, size, alive, shards.place, one_hot=options.one_hot
        )

    def make_item(self, number: int, index: int) -> BatchParts:
        """Make batch `index` of pass `number`, a pass being `epochs` epochs.

        Without an end there is one pass, and the index tells the epoch.
        """
        epoch, step = divmod(index, self.steps)
        first = self.options.start_epoch + number * (self.options.epochs or 0)
        return self.make(first + epoch, step * self.options.step_size)

    @property
    def begins(self) -> bool:
        """Whether `begin` lets records be read while the caller goes on.

        One-hot labels are better made by another thread, which `begin` is not.
        """
        return self._reading.source.begins and not self.options.one_hot

    def make(self, epoch: int, start: int) -> BatchParts:
        """Make the batch of the step that starts at position `start` of `epoch`.

        The step takes the next `step_size` positions, and each rank an equal part of them.
        """
        return self.begin(epoch, start).result()

    def begin(self, epoch: int, start: int) -> BegunBatch:
        """Begin to make the batch of a step."""
        if epoch > self._epoch:
            self._epoch = epoch
            source = self._sources.new_epoch()
            if source is not self._reading.records:
                self._reading = self._reading_from(source)
        ids = self._steps.ids(epoch, start)
        room, reading = self._rooms.take(), self._reading
        fetch = reading.source.begin(ids, room)
        return BegunBatch(self, epoch, start, ids, room, fetch, reading)

    def end(self, begun: BegunBatch) -> BatchParts:
        """Make the batch of what was begun."""
        options, room, count = self.options, begun.room, len(begun.ids)
        source = begun.reading.source
        if isinstance(source, BlockFetcher):
            # First: what comes later is read while this waits for its last block.
            if source.want(begun.ids) or begun.start // options.step_size % _PREPARED == 0:
                self._prepare(source, begun.epoch, begun.start)
            integers = self._integers(begun)
        else:
            integers = self._integers(begun)
            self._advise(begun)
        if options.pad and count < options.batch_size:
            room.array[count:] = 0
            integers = np.concatenate(
                [integers, np.zeros((options.batch_size - count, integers.shape[1]), np.int64)]
            )
            integers[count:, -1] = -1
        labels = self._labels.make(integers, None if self.skipped.count else begun.ids)
        weights = np.zeros(len(integers), dtype=np.float32) if options.pad else None
        if weights is not None:
            weights[:count] = self._weight
        rows = integers[:, -1].copy() if options.rows else None
        return BatchParts(self._images(room, len(integers)), labels, weights, rows)

    def _integers(self, begun: BegunBatch) -> NDArray[np.int64]:
        """Wait for records, and put others in the place of those that were skipped."""
        integers = begun.fetch.result()
        if self.options.on_error != "skip":
            return integers
        skipped = int(np.count_nonzero(integers[:, -1] == SKIPPED))
        if not skipped:
            return integers
        self.skipped.replace(begun.epoch, begun.start, skipped)
        source, records = begun.reading.source, len(self.shards)
        return replace_skipped(source, begun.ids, begun.room, integers, records)

    def close(self) -> None:
        """Close the files; they are opened again when they are needed."""
        self._reading.source.close()

    def _reading_from(self, source: RecordSource) -> _Reading:
        """Hold whole blocks where a read is slow to begin, unless records are in exact order."""
        shuffle = self.options.shuffle
        records, block, held = len(self.shards), self.memory.block, self.memory.blocks_held
        if source.in_blocks and shuffle != "exact":
            blocks = BlockFetcher(source, self.shards.layout, records, block, held)
            return _Reading(source, blocks, None)
        advice = BlockAdvice(source, records, block, held) if shuffle != "exact" else None
        return _Reading(source, source, advice)

    def _prepare(self, source: BlockFetcher, epoch: int, start: int) -> None:
        """Let blocks be read that come later than the step at `start`."""
        distances = [self._steps.window]
        if self.options.shuffle == "none":
            block = self.memory.block
            distances = [number * block for number in range(1, self.memory.blocks_held - 1)]
        later = [self._steps.later(epoch, start, distance) for distance in distances]
        if later:
            source.prepare(np.concatenate(later))

    def _advise(self, begun: BegunBatch) -> None:
        """Tell storage what comes later than a step that was read."""
        source, block_advice, steps = begun.reading.records, begun.reading.block_advice, self._steps
        epoch, start = begun.epoch, begun.start
        if block_advice is not None:
            block = self.memory.block
            if not steps.window and start % block >= self.options.step_size:
                return  # this step begins no block
            block_advice.now(begun.ids)
            if steps.window and not block_advice.is_due():
                return
            # The same place in the next window: the steps of this one bring in its blocks.
            distance = steps.window or BLOCKS_AHEAD * block
            block_advice.later(steps.later(epoch, start, distance))
            return

        def advise(count: int) -> None:
            later = steps.later(epoch, start, count * self.options.step_size)
            if len(later):
                source.advise(later)

        if not source.begins:
            self._read_ahead.after(begun.fetch.taken, self.options.batch_size, advise)

    def _images(self, room: Any, count: int) -> Array:
        """Turn the pixels of a room into images; the room is not used by the caller any more."""
        shape = (count, *self.shards.shape)
        if self.options.dtype == "uint8" or self._scales:
            return self._rooms.lease(room)[:count].reshape(shape)
        memory = self._floats.take()
        np.divide(room.array[:count], np.float32(255), out=memory.array[:count])
        self._rooms.give(room)
        return self._floats.lease(memory)[:count].reshape(shape)
