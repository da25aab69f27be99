"""Read-ahead for orders in blocks from a disk: the kernel is advised of each block in time."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from reader.blocks.block_grid import BlockGrid
from reader.fetch.source import RecordSource

# Where all blocks of a while were in memory, only each of so many steps is looked at.
_SELDOM = 8


class BlockAdvice:
    """Advises storage of whole blocks of `grid`, each once.

    The last `remembered` blocks are known as advised.
    """

    def __init__(self, source: RecordSource, grid: BlockGrid, remembered: int) -> None:
        self._source = source
        self._grid = grid
        self._remembered = remembered
        self._advised: OrderedDict[int, None] = OrderedDict()
        # Records that have to be told of as wanted later until all that come were: a window.
        self._left = remembered // 2 * grid.size
        # Blocks one after the other that storage had already, and steps since one was looked at.
        self._known = 0
        self._steps = 0

    def is_due(self) -> bool:
        """Count a step; returns whether `later` is to be called for it."""
        self._steps += 1
        return self._known < self._remembered or self._steps >= _SELDOM

    def now(self, ids: NDArray[np.int64]) -> None:
        """Advise the blocks of records that are wanted at once."""
        if self._left <= 0:
            return
        for block in self._fresh(ids):
            self._advise(block)

    def later(self, ids: NDArray[np.int64]) -> None:
        """Advise blocks of a later step, at most one more than the step itself fills.

        All blocks of a window are wanted by its first step; so they come one by one.
        """
        steps, self._steps = max(1, self._steps), 0
        self._left -= len(ids)
        for block in self._fresh(ids)[: steps * len(ids) // self._grid.size + 1]:
            self._advise(block)

    def _fresh(self, ids: NDArray[np.int64]) -> list[int]:
        blocks = set(self._grid.of(ids).tolist())
        return sorted(block for block in blocks if block not in self._advised)

    def _advise(self, block: int) -> None:
        self._advised[block] = None
        if len(self._advised) > self._remembered:
            self._advised.popitem(last=False)
        known = not self._source.advise(self._grid.records(block))
        self._known = self._known + 1 if known else 0
