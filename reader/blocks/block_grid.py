"""How records are cut into blocks: from the first record of a set, or of each member of a mix."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]


class BlockGrid:
    """Blocks of `size` neighbouring records, the last one of each member short.

    `begins` are the numbers of the first records of members.
    """

    def __init__(self, records: int, size: int, begins: Sequence[int] = (0,)) -> None:
        self.size = size
        # Records of any block at most.
        self.most = min(size, records)
        ends = [*begins[1:], records]
        counts = [-(-(end - begin) // size) for begin, end in zip(begins, ends, strict=True)]
        self.blocks = sum(counts)
        self._begins: Ids = np.array(begins)
        self._ends: Ids = np.array(ends)
        # The number of the first block of each member.
        self._firsts: Ids = np.cumsum([0, *counts[:-1]])

    def of(self, ids: Ids) -> Ids:
        """Return the block of each record."""
        if len(self._begins) == 1:
            return ids // self.size
        member = np.searchsorted(self._begins, ids, side="right") - 1
        blocks: Ids = (ids - self._begins[member]) // self.size + self._firsts[member]
        return blocks

    def within(self, ids: Ids) -> Ids:
        """Return the place of each record in its block."""
        if len(self._begins) == 1:
            return ids % self.size
        member = np.searchsorted(self._begins, ids, side="right") - 1
        places: Ids = (ids - self._begins[member]) % self.size
        return places

    def records(self, block: int) -> Ids:
        """Return the records of a block."""
        member = int(np.searchsorted(self._firsts, block, side="right")) - 1
        first = int(self._begins[member] + (block - self._firsts[member]) * self.size)
        return np.arange(first, min(first + self.size, int(self._ends[member])))
