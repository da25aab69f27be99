"""One batch: which records, read into pooled memory, as the caller wants to see them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reader.batching.batch_form import BatchForm, BatchParts
from reader.batching.batch_spec import BatchSpec
from reader.batching.label_arrays import LabelArrays, chosen_labels, number_columns
from reader.batching.memory import Pipeline, Sizes
from reader.batching.one_hot import OneHot
from reader.batching.options import BatchOptions
from reader.batching.reading import Reading, reading
from reader.batching.replacement import replace_skipped
from reader.batching.steps import Steps, start_step_of
from reader.batching.transform import BatchTransform
from reader.dataset import Dataset
from reader.fetch.pool import Pool
from reader.fetch.skipped import SKIPPED, Skipped
from reader.fetch.source import Fetch, RecordSource
from reader.order.mixed import MixStart
from reader.stats.stream_counts import StreamCounts
from shardio.cached_property import cached_property
from shardio.errors import OptionError, TransformError
from shardio.grammar import counted

Array = NDArray[Any]


@dataclass(frozen=True)
class BegunBatch:
    """A batch that is being made: the records `ids` of a step come into `images`."""

    epoch: int
    start: int
    ids: NDArray[np.int64]
    images: Array
    fetch: Fetch
    reading: Reading


class BatchMaker:
    """Makes any batch of a stream: a pure function of the epoch and the position in it.

    The memory for the batches that `pipeline` keeps alive at once is taken at the first batch and
    used again, so that what the reader owns does not depend on how long it reads, nor on luck.
    With `parts` it makes only each so many-th batch of an epoch. `skipped` counts on. `start` is
    where a mix began. `start_step` steps of the first epochs are left out of a pass without an end.
    It counts its work in `counts`, by default as a new stream of the set.
    """

    def __init__(
        self,
        shards: Dataset,
        options: BatchOptions,
        pipeline: Pipeline,
        *,
        parts: int = 1,
        skipped: Skipped | None = None,
        start: MixStart | None = None,
        start_step: int = 0,
        counts: StreamCounts | None = None,
    ) -> None:
        self.shards = shards
        self.options = options = options.located()
        self.start_step = start_step_of(start_step, options)
        positions = options.positions(shards)
        if options.steps(positions) == 0:
            raise OptionError(
                f"the set has {counted(positions, 'record')}, not one batch of "
                f"{options.batch_size} for "
                f"each of {options.share[1]} workers; choose a smaller batch_size, or pad=True"
                if options.share[1] > 1
                else f"the set has {counted(positions, 'record')}, not one batch of "
                f"{options.batch_size}; "
                "choose a smaller batch_size, or drop_remainder=False"
            )
        labels = chosen_labels(shards.labels, options.labels)
        self._chosen = labels
        self.heads = tuple(label.name for label in labels)
        self._columns = number_columns(shards.labels, labels)
        self._labels = LabelArrays(labels, shards.place)
        layout = shards.layout
        read_here = positions // (options.share[1] * parts)
        self.skipped = skipped or Skipped(options.most_skipped(read_here), read_here)
        self._sources = shards.sources(
            verify=options.verify, skipped=self.skipped if options.on_error == "skip" else None
        )
        self.counts = counts or shards.counts.stream()
        self.counts.skipped = self.skipped
        self.counts.is_fixed = options.transform is None
        self._sources.files.counts = self.counts
        source = self._sources.first
        self.memory = Sizes.of(shards, source, pipeline).plan(options)
        if options.memory is not None:
            source.bound(max(0, int(options.memory) - self.memory.total))
        if options.shuffle == "window":
            block, window = self.memory.block, self.memory.window
            lanes = options.lanes or options.share[1]
            self.options = options = replace(options, block=block, window=window, lanes=lanes)
        self._steps = Steps(options, shards, start)
        self.steps, self.positions = self._steps.count, self._steps.positions
        # The mean over all positions, filled ones too, of weighted losses is that of the records.
        self._weight = self.steps * options.step_size / self._steps.positions
        self._reading = self._reading_from(self._sources.now())
        self._epoch = -1
        alive, size = self.memory.alive, options.batch_size
        self._pool = Pool(size, layout.image_bytes, options.dtype, alive)
        self._one_hot = OneHot(labels, size, alive) if options.one_hot else None
        self._transform: BatchTransform | None = None
        self._is_fixed = False
        if options.transform is not None:
            form = BatchForm.of(self.heads, as_dict=options.as_dict)
            threads = options.transform_threads
            self._transform = BatchTransform(
                options.transform, form, seed=options.seed, threads=threads
            )

    @cached_property
    def spec(self) -> BatchSpec:
        """What batches hold: of a stream with a transform, what it is given until `fix`."""
        return BatchSpec.stored(self.shards.shape, self._chosen, self.options)

    def fix(self, spec: BatchSpec | None = None) -> BatchSpec:
        """Hold every batch to `spec`, and return it; with a transform without one, to the first.

        That is made for this purpose, and counts nowhere.
        """
        if self._transform is None:
            return self.spec
        if spec is None:
            skipped = self.skipped.count
            spec = BatchSpec.of(self.make(self.options.start_epoch, 0), self.spec.heads)
            self.skipped.count = skipped
        self.spec, self._is_fixed = spec, True
        return spec

    def make_item(self, number: int, index: int) -> BatchParts:
        """Make batch `index` of pass `number`, a pass being `epochs` epochs.

        Without an end there is one pass, and the index tells the epoch.
        """
        epoch, step = divmod(self.start_step + index, self.steps)
        first = self.options.start_epoch + number * (self.options.epochs or 0)
        return self.make(first + epoch, step * self.options.step_size)

    @property
    def begins(self) -> bool:
        """Whether `begin` lets records be read while the caller goes on.

        One-hot labels are better made by another thread, which `begin` is not.
        """
        return self._reading.reader.begins and (self.thinks or not self.options.one_hot)

    @property
    def thinks(self) -> bool:
        """Whether a batch whose records are there is still much work, for another thread."""
        return self._transform is not None

    def make(self, epoch: int, start: int) -> BatchParts:
        """Make the batch of the step that starts at position `start` of `epoch`.

        The step takes the next `step_size` positions, and each rank an equal part of them.
        """
        return self.end(self.begin(epoch, start))

    def begin(self, epoch: int, start: int) -> BegunBatch:
        """Begin to make the batch of a step, which `end` returns."""
        if epoch > self._epoch:
            self._epoch = epoch
            source = self._sources.new_epoch()
            if source is not self._reading.source:
                self._reading = self._reading_from(source)
        ids = self._steps.ids(epoch, start)
        images, how = self._pool.take(), self._reading
        fetch = how.reader.begin(ids, images)
        return BegunBatch(epoch, start, ids, images, fetch, how)

    def end(self, begun: BegunBatch) -> BatchParts:
        """Wait for the records of a batch that was begun, and return its parts."""
        options, count = self.options, len(begun.ids)
        step = begun.epoch, begun.start, begun.ids
        begun.reading.before(*step)
        integers, ids = self._integers(begun)
        begun.reading.after(*step, begun.fetch.taken)
        if self.shards.cache is not None:
            self.counts.cached += self._sources.files.cached(begun.ids)
        if options.pad and count < options.batch_size:
            begun.images[count:] = 0
            integers = np.concatenate(
                [integers, np.zeros((options.batch_size - count, integers.shape[1]), np.int64)]
            )
            integers[count:, -1] = -1
        if self._columns is not None:
            integers = integers.take(self._columns, axis=1)
        labels = self._labels.make(integers, None if self.skipped.count else begun.ids)
        if self._one_hot is not None and self._transform is None:
            labels = self._one_hot.of(labels)
        weights = np.zeros(len(integers), dtype=np.float32) if options.pad else None
        if weights is not None:
            weights[:count] = self._weight
        rows = self._rows(integers[:, -1], ids) if options.rows else None
        images = self._pool.lease(begun.images)[: len(integers)]
        images = images.reshape((len(integers), *self.shards.shape))
        parts = BatchParts(images, labels, weights, rows)
        return parts if self._transform is None else self._transformed(parts, begun)

    def _transformed(self, parts: BatchParts, begun: BegunBatch) -> BatchParts:
        """Return what the transform makes of a batch; its errors name the step."""
        assert self._transform is not None
        options = self.options
        position = begun.start + options.share[0] * options.batch_size
        try:
            with self.counts.transforms():
                parts = self._transform.of(parts, begun.epoch, position)
            if self._one_hot is not None:
                labels = self._one_hot.of_transformed(parts.labels, parts.heads)
                parts = parts._replace(labels=labels)
            if self._is_fixed:
                self.spec.check(parts)
        except (TransformError, ValueError) as error:
            step = begun.start // options.step_size
            raise TransformError(
                f"transform failed at step {step} of epoch {begun.epoch}, whose batch begins with "
                f"sample {position} of the epoch: {error}"
            ) from error.__cause__
        return parts

    def _rows(self, rows: NDArray[np.int64], ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the rows of a batch, with the member of each where there are several."""
        if not self.shards.members:
            return rows.copy()
        pairs = np.full((len(rows), 2), -1, dtype=np.int64)  # as what is filled up has it
        begins = np.array(self.shards.begins)
        member = np.searchsorted(begins, ids, side="right") - 1
        pairs[:, 1] = rows
        pairs[: len(ids), 0] = member
        if self.shards.kind.counts_rows:
            pairs[: len(ids), 1] -= begins[member]
        return pairs

    def _integers(self, begun: BegunBatch) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Wait for records, and put others in the place of those that were skipped.

        Returns their integers, and their numbers in the set.
        """
        integers = begun.fetch.result()
        if self.options.on_error != "skip":
            return integers, begun.ids
        skipped = int(np.count_nonzero(integers[:, -1] == SKIPPED))
        if not skipped:
            return integers, begun.ids
        self.skipped.replace(begun.epoch, begun.start, skipped)
        reader, records, others = begun.reading.reader, len(self.shards), self._others(begun)
        return replace_skipped(reader, begun.ids, begun.images, integers, records, others)

    def _others(self, begun: BegunBatch) -> Callable[[int], NDArray[np.int64]]:
        """Return what tells the records that are tried in place of those of a batch."""
        shards, places = self.shards, np.arange(len(begun.ids))
        if shards.choice is None:
            first = int(begun.ids[0])
            return lambda ahead: (first + ahead + places) % len(shards)
        choice, start = shards.choice, begun.start
        return lambda ahead: choice.ids((start + ahead + places) % len(choice))

    def close(self) -> None:
        """Close the files; they are opened again when they are needed."""
        self._reading.reader.close()

    def _reading_from(self, source: RecordSource) -> Reading:
        return reading(source, self._steps, self.memory, self.shards, self.options.shuffle)
