"""What a stream owns in memory: the sum, and how deep it may prefetch within a bound.

    buffers     a batch of pixels with the framing and labels of its records, as it is read
    images      a float32 batch, where it is not read in its final form
    labels      the labels and weights of a batch; one-hot ones are most of it
    blocks      from storage that is slow to begin a read: `window` holds two windows of blocks for
                each lane, this one and the next, and `none` a few blocks
    order       positions that were computed at once
    files       memory for runs of records, open files, what allocators keep
    index       shards of others only: where each record begins, for the whole set
    decoders    encoded images only: what each thread reads and decodes
    cache       with a cache only: what the thread that fills it copies at once

Nothing but the index depends on the number of records. A process has a base besides: Python, NumPy
and the reader's modules, some 25 MB (`tests/reader/batching/test_memory.py` holds the sum of both
against 10 GB), and TensorFlow or PyTorch, which are not ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from reader.batching.options import BatchOptions
from reader.foreign.layout import ForeignLayout, Layout
from shardio.errors import OptionError
from shardio.format.label import Label
from shardio.sizes import in_words

# A block of the window order: long enough that a disk, or a network, spends its time reading.
_BLOCK_BYTES = 4_000_000
_DEFAULT_WINDOW = 16
# Views of the three parts of a record, made once for each of a buffer.
_VIEWS = 1_600
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


def plan_memory(
    layout: Layout,
    labels: Sequence[Label],
    records: int,
    options: BatchOptions,
    pipeline: Pipeline,
    *,
    scales: bool = False,
    in_blocks: bool = True,
    cache_bytes: int = 0,
) -> MemoryPlan:
    """Choose prefetch depth and window so that the sum is at most `options.memory`.

    Without a bound they are the usual ones. `scales` and `in_blocks` are those of the RecordSource.
    `cache_bytes` make the window, and so the order, no smaller. Raises OptionError where the least
    of all is too much.
    """
    least, usual, most = pipeline.prefetch
    block = options.block or max(1, _BLOCK_BYTES // layout.stride)

    ahead = _BLOCKS_HELD_AHEAD

    def plan(prefetch: int, window: int, *, held: bool = in_blocks) -> MemoryPlan:
        found = _plan(
            layout, labels, records, options, pipeline, prefetch, block, window, ahead, scales, held
        )
        return replace(found, parts={**found.parts, "cache": cache_bytes})

    if options.memory is None:
        return plan(usual, options.window or _DEFAULT_WINDOW)
    bound = int(options.memory)
    window = options.window or 1
    while ahead > 1 and plan(least, window).total > bound:
        ahead -= 1  # fewer of the order as stored
    _check(plan(least, window), bound, options)
    if options.shuffle == "window" and options.window is None:
        # Half of the memory, or what is left of it, goes to the quality of the shuffle; also where
        # no blocks are held, so that the order is the same from every storage.
        one, two = plan(least, 1, held=True), plan(least, 2, held=True)
        rest = min(bound - one.total + cache_bytes, bound // 2 - one.parts["blocks"])
        window += max(0, rest // max(1, two.total - one.total))
        window = min(window, -(-records // block))
        _check(plan(least, window), bound, options)
    prefetch = least
    while prefetch < most and plan(prefetch + 1, window).total <= bound:
        prefetch += 1
    return plan(prefetch, window)


def _check(least: MemoryPlan, bound: int, options: BatchOptions) -> None:
    if least.total > bound:
        raise OptionError(
            f"memory={in_words(bound)!r} is too little: this stream needs {least}. Give it more, "
            "or smaller batches"
            + (', dtype="uint8"' if options.dtype == "float32" else "")
            + (", integer labels" if options.one_hot else "")
            + (", a smaller window or block" if options.shuffle == "window" else "")
        )


def _plan(
    layout: Layout,
    labels: Sequence[Label],
    records: int,
    options: BatchOptions,
    pipeline: Pipeline,
    prefetch: int,
    block: int,
    window: int,
    ahead: int,
    scales: bool,
    in_blocks: bool,
) -> MemoryPlan:
    rank_lanes = (options.lanes or options.share[1]) // options.share[1]
    size, alive = options.batch_size, prefetch + pipeline.held
    # This window of a lane, the next one, and the first block of the one after.
    held = min((2 * window + 1) * rank_lanes, -(-records // block))
    in_window = options.shuffle == "window"
    if options.shuffle == "none":
        # The one in use, and the one that a batch may reach into.
        held = min(ahead + 2, -(-records // block))
    numbers = 8 * layout.numbers
    pixels = size * layout.image_bytes
    record = layout.stride - layout.image_bytes + _VIEWS + 2 * numbers
    floats = options.dtype == "float32"
    label = sum(4 * (label.classes if options.one_hot else label.kind.length) for label in labels)
    rows = held * min(block, records)
    # Compiled code fills the batch itself, and needs no views of its records.
    buffer = pixels * (4 if floats else 1) if scales else pixels + size * record
    parts = {
        "buffers": (alive if scales or not floats else pipeline.threads) * buffer,
        "images": alive * 4 * pixels if floats and not scales else 0,
        "labels": alive * size * (label + 12),
        "blocks": rows * (layout.stride + numbers)
        if in_blocks and options.shuffle != "exact"
        else 0,
        "order": rows * _WINDOW_ORDER if in_window else _EXACT_ORDER,
        "files": _FILES,
    }
    if isinstance(layout, ForeignLayout):
        parts |= {"index": layout.index_bytes, "decoders": layout.decoder_bytes}
    return MemoryPlan(prefetch, alive, block, window, held, parts)
