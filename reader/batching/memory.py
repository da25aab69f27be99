"""What a stream owns in memory: the sum, and how deep it may prefetch within a bound.

    buffers     the pixels of batches, uint8 or float32
    labels      the labels and weights of a batch; one-hot ones are most of it
    blocks      from storage that is slow to begin a read: `window` holds two windows of blocks for
                each lane, this one and the next, and `none` a few blocks
    records     a batch as it is stored, where it is read before it is decoded
    order       positions that were computed at once
    files       memory for runs of records, open files, what allocators keep
    index       indexed shards only: where each record begins, for the whole set
    decoders    records of any size: what each thread reads and decodes; of images that are resized,
                a budget for those that are decoded at once, of the size of the first, in which a
                larger one comes alone
    cache       with a cache only: what the thread that fills it copies at once

Nothing but the index depends on the number of records. A process has a base besides: Python, NumPy
and the reader's modules, some 25 MB (`tests/reader/batching/test_memory.py` holds the sum of both
against 10 GB), and TensorFlow or PyTorch, which are not ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from reader.batching.label_arrays import chosen_labels
from reader.batching.options import BatchOptions
from reader.cache.filler import FILLER_BYTES
from reader.dataset import Dataset
from reader.fetch.record_kind import Layout
from reader.fetch.source import RecordSource
from shardio.errors import OptionError
from shardio.format.label import Label
from shardio.sizes import in_words

# A block of the window order: long enough that a disk, or a network, spends its time reading.
_BLOCK_BYTES = 4_000_000
_DEFAULT_WINDOW = 16
# Four pieces of 8,192 positions, and what computing one takes.
_EXACT_ORDER = 1_500_000
# A window's positions are kept for this and the next window, and computed with temporaries.
_WINDOW_ORDER = 8 * 10
# Blocks of the order as stored that are read ahead: by the kernel, and by us.
BLOCKS_AHEAD = 3
_BLOCKS_HELD_AHEAD = 5
_FILES = 4_000_000


@dataclass(frozen=True)
class Pipeline:
    """How batches flow in an adaptor.

    `threads` make them at once. `held` are alive besides the prefetched ones: those being looked at
    and, where they do not count as prefetched, those being made. `prefetch` is least, usual, most.
    """

    threads: int
    held: int
    prefetch: tuple[int, int, int]

    def with_threads(self, options: BatchOptions) -> Pipeline:
        """Return this one, with the threads that a transform wants."""
        more = options.transform_threads - self.threads if options.transform is not None else 0
        if more <= 0:
            return self
        return Pipeline(self.threads + more, self.held + more, self.prefetch)


@dataclass(frozen=True)
class MemoryPlan:
    """The memory of a stream: `parts` in bytes, and the `prefetch`, `block` and `window` chosen."""

    prefetch: int
    alive: int
    block: int
    window: int
    blocks_held: int
    parts: dict[str, int] = field(hash=False)

    @property
    def total(self) -> int:
        """The sum of all parts, in bytes."""
        return sum(self.parts.values())

    def __str__(self) -> str:
        parts = " + ".join(f"{name} {in_words(size)}" for name, size in self.parts.items() if size)
        return f"{in_words(self.total)} = {parts}"


def _nothing(records: int, *, in_blocks: bool) -> Mapping[str, int]:
    return {}


@dataclass(frozen=True)
class Sizes:
    """What the memory of a stream depends on besides its options.

    `owned` tells what the source of the records owns besides batches, for a number of records and
    whether blocks are held. `cache_bytes` make the window, and so the order, no smaller.
    `members` are those of a mix.
    """

    records: int
    layout: Layout
    labels: tuple[Label, ...]
    pipeline: Pipeline
    in_blocks: bool = True
    owned: Callable[..., Mapping[str, int]] = _nothing
    cache_bytes: int = 0
    members: int = 1

    @classmethod
    def of(cls, shards: Dataset, source: RecordSource, pipeline: Pipeline) -> Sizes:
        """Return those of a set that `source` reads."""
        cache = 0 if shards.cache is None else FILLER_BYTES
        return cls(
            shards.stored_records, shards.layout, shards.labels, pipeline, source.in_blocks,
            source.owned, cache, 1 if shards.mix is None else len(shards.mix.sizes),
        )  # fmt: skip

    def plan(self, options: BatchOptions) -> MemoryPlan:
        """Choose prefetch depth and window so that the sum is at most `options.memory`.

        Without a bound they are the usual ones. Raises OptionError where the least of all is too
        much.
        """
        least, usual, most = self.pipeline.prefetch
        if options.memory is None:
            return self._plan(options, usual, options.window or _DEFAULT_WINDOW)
        bound = int(options.memory)
        window = options.window or 1
        ahead = _BLOCKS_HELD_AHEAD
        while ahead > 1 and self._plan(options, least, window, ahead).total > bound:
            ahead -= 1  # fewer of the order as stored
        _check(self._plan(options, least, window, ahead), bound, options)
        if options.shuffle == "window" and options.window is None:
            # Half of the memory, or what is left of it, goes to the quality of the shuffle; also
            # where no blocks are held, so that the order is the same from every storage.
            held = replace(self, in_blocks=True)
            one, two = held._plan(options, least, 1), held._plan(options, least, 2)
            rest = min(bound - one.total + self.cache_bytes, bound // 2 - one.parts["blocks"])
            window += max(0, rest // max(1, two.total - one.total))
            window = min(window, -(-self.records // one.block))
            _check(self._plan(options, least, window, ahead), bound, options)
        plans = (self._plan(options, depth, window, ahead) for depth in range(most, least, -1))
        return next(
            (plan for plan in plans if plan.total <= bound),
            self._plan(options, least, window, ahead),
        )

    def _plan(
        self,
        options: BatchOptions,
        prefetch: int,
        window: int,
        ahead: int = _BLOCKS_HELD_AHEAD,
    ) -> MemoryPlan:
        layout, records, size = self.layout, self.records, options.batch_size
        block = options.block or max(1, _BLOCK_BYTES // layout.stride)
        alive = prefetch + self.pipeline.held
        if options.shuffle == "none":
            # The one in use, and the one that a batch may reach into.
            held = ahead + 2
        else:
            # This window of a lane, the next one, and the first block of the one after.
            held = (2 * window + 1) * ((options.lanes or options.share[1]) // options.share[1])
        # Each member of a mix is read by itself.
        held = min(held * self.members, -(-records // block) + self.members - 1)
        rows = held * min(block, records)
        holds = self.in_blocks and options.shuffle != "exact"
        values = (
            label.classes if options.one_hot and label.kind.is_class else label.kind.length
            for label in chosen_labels(self.labels, options.labels)
        )
        order = rows * _WINDOW_ORDER if options.shuffle == "window" else _EXACT_ORDER
        if self.members > 1:
            # Positions of the mix, and of each member.
            order += _EXACT_ORDER * (1 + self.members * (options.shuffle != "window"))
        parts = {
            "buffers": alive * size * layout.image_bytes * (4 if options.dtype == "float32" else 1),
            "labels": alive * size * (4 * sum(values) + 12),
            "blocks": rows * (layout.stride + 8 * layout.numbers) if holds else 0,
            "order": order,
            "files": _FILES,
            **self.owned(self.pipeline.threads * size, in_blocks=holds),
            "cache": self.cache_bytes,
        }
        return MemoryPlan(prefetch, alive, block, window, held, parts)


def _check(least: MemoryPlan, bound: int, options: BatchOptions) -> None:
    if least.total > bound:
        raise OptionError(
            f"memory={in_words(bound)!r} is too little: this stream needs {least}. Give it more, "
            "or smaller batches"
            + (', dtype="uint8"' if options.dtype == "float32" else "")
            + (", integer labels" if options.one_hot else "")
            + (", a smaller window or block" if options.shuffle == "window" else "")
        )
