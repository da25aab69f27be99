"""How the steps of a stream are read, and what is read or asked for ahead of them."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from reader.batching.memory import BLOCKS_AHEAD, MemoryPlan
from reader.batching.steps import Steps
from reader.blocks.block_advice import BlockAdvice
from reader.blocks.block_fetch import BlockFetcher
from reader.blocks.block_grid import BlockGrid
from reader.dataset import Dataset
from reader.fetch.source import Fetch, RecordSource
from reader.fetch.waiting import Taken, Waiting

Ids = NDArray[np.int64]
# So many steps are told ahead: a hundred records each, they keep a disk's queue full.
_STEPS_AHEAD = 4
# Blocks are prepared when others are needed than before, and every so many steps.
_PREPARED = 4


class Reader(Protocol):
    """What records of a step come from: a source, or blocks of it that are held."""

    begins: bool

    def fetch(self, ids: Ids, images: NDArray[Any]) -> Ids:
        """Read records, as RecordSource does."""

    def begin(self, ids: Ids, images: NDArray[Any]) -> Fetch:
        """Begin to read records."""

    def close(self) -> None:
        """Close the files."""


class Reading:
    """Reads the records of `source` step by step, with `reader`, and looks ahead at `steps`."""

    def __init__(self, source: RecordSource, steps: Steps) -> None:
        self.source = source
        self.reader: Reader = source
        self._steps = steps

    def before(self, epoch: int, start: int, ids: Ids) -> None:
        """Look ahead when the records `ids` of a step are going to be waited for."""

    def after(self, epoch: int, start: int, ids: Ids, taken: Taken) -> None:
        """Look ahead when the records of a step are there, and took so long."""


class EachRecord(Reading):
    """Tells storage which records come, as long as reading each by itself is slow."""

    def __init__(self, source: RecordSource, steps: Steps) -> None:
        super().__init__(source, steps)
        self._waiting = Waiting()

    def after(self, epoch: int, start: int, ids: Ids, taken: Taken) -> None:
        """Tell what comes some steps later."""
        told = self._waiting.is_slow
        ahead = range(_STEPS_AHEAD, _STEPS_AHEAD + told)
        if self._waiting.saw(taken, len(ids)):
            ahead = range(1, _STEPS_AHEAD + 1)
        for count in ahead:
            later = self._steps.later(epoch, start, count * self._steps.size)
            if len(later):
                self.source.advise(later)


class AdvisedBlocks(Reading):
    """Tells storage which blocks come."""

    def __init__(
        self, source: RecordSource, steps: Steps, plan: MemoryPlan, shards: Dataset
    ) -> None:
        super().__init__(source, steps)
        self._block = plan.block
        self._advice = BlockAdvice(source, _grid(plan, shards), plan.blocks_held)

    def after(self, epoch: int, start: int, ids: Ids, taken: Taken) -> None:
        """Tell of the same place in the next window: the steps of this one bring in its blocks."""
        window = self._steps.window
        if not window and start % self._block >= self._steps.size:
            return  # this step begins no block
        self._advice.now(ids)
        if window and not self._advice.is_due():
            return
        distance = window or BLOCKS_AHEAD * self._block
        self._advice.later(self._steps.later(epoch, start, distance))


class HeldBlocks(Reading):
    """Reads whole blocks into memory, those of later steps too."""

    def __init__(
        self, source: RecordSource, steps: Steps, plan: MemoryPlan, shards: Dataset
    ) -> None:
        super().__init__(source, steps)
        self._blocks = BlockFetcher(source, _grid(plan, shards), plan.blocks_held)
        self.reader = self._blocks
        self._distances = [steps.window]
        if not steps.window:
            self._distances = [n * plan.block for n in range(1, plan.blocks_held - 1)]

    def before(self, epoch: int, start: int, ids: Ids) -> None:
        """Read what comes later while this step waits for its last block."""
        if not self._blocks.want(ids) and start // self._steps.size % _PREPARED:
            return
        if self._steps.is_uneven:
            # The same place in the next window is not always as far away.
            self._blocks.prepare(self._steps.coming(epoch, start))
            return
        later = [self._steps.later(epoch, start, distance) for distance in self._distances]
        if later:
            self._blocks.prepare(np.concatenate(later))


def reading(
    source: RecordSource, steps: Steps, plan: MemoryPlan, shards: Dataset, shuffle: str
) -> Reading:
    """Return how an order is read: in whole blocks where a read is slow to begin."""
    if shuffle == "exact":
        # Where `begin` reads, many records come at once as it is.
        return Reading(source, steps) if source.begins else EachRecord(source, steps)
    if source.in_blocks:
        return HeldBlocks(source, steps, plan, shards)
    return AdvisedBlocks(source, steps, plan, shards)


def _grid(plan: MemoryPlan, shards: Dataset) -> BlockGrid:
    """Return the blocks of a set; those of each member of a mix begin with its first record."""
    begins = (0,) if shards.mix is None else shards.mix.begins
    return BlockGrid(shards.stored_records, plan.block, begins)
