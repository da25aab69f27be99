"""The `window` order of some records of a set: whole stored blocks, with their chosen records."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from reader.order.exact import Ids
from reader.order.window import Lane, WindowOrder


@dataclass(frozen=True)
class ChosenBlocks:
    """Blocks of a set that hold chosen records, in the order in which they are stored.

    The chosen records of block k are those at places `edges[k]` to `edges[k + 1]` among all, and
    `ids` tells the record at a place. There are 8 bytes for each block.
    """

    edges: Ids
    ids: Callable[[Ids], Ids]

    @classmethod
    def of_list(cls, pieces: Iterable[Ids], block: int, ids: Callable[[Ids], Ids]) -> ChosenBlocks:
        """Find them in pieces of increasing records."""
        edges, at, last = [np.empty(0, dtype=np.int64)], 0, -1
        for piece in pieces:
            blocks = piece // block
            edges.append(at + np.flatnonzero(np.diff(blocks, prepend=last)))
            at, last = at + len(piece), int(blocks[-1])
        edges.append(np.array([at]))
        return cls(np.concatenate(edges), ids)

    @classmethod
    def of_range(
        cls, start: int, count: int, step: int, block: int, ids: Callable[[Ids], Ids]
    ) -> ChosenBlocks:
        """Find them in the records start, start + step, ...; the step is positive."""
        firsts = np.arange(start // block, (start + (count - 1) * step) // block + 1) * block
        edges = np.maximum(0, -((start - firsts) // step))
        return cls(np.append(np.unique(edges), count), ids)


@dataclass(frozen=True)
class _ChosenLane(Lane):
    """A lane, and how many of its records were given at the end of each of its windows."""

    ends: Ids


class ChosenWindowOrder(WindowOrder):
    """The window order of the records of some blocks, for one who owns `owned` of the lanes."""

    def __init__(
        self, chosen: ChosenBlocks, seed: int, window: int, lanes: int, owned: int | None = None
    ) -> None:
        super().__init__(len(chosen.edges) - 1, seed, 1, window, lanes, owned)
        self.records = int(chosen.edges[-1])
        self._chosen = chosen

    def rest(self, epoch: int, start: int, rank: int, world: int) -> Ids:
        """Return the records from a position on in the windows where the lanes of a rank are."""
        lanes = self._lanes_of(epoch)
        pieces = [np.empty(0, dtype=np.int64)]
        for number in range(rank * self._lanes // world, (rank + 1) * self._lanes // world):
            lane, position = lanes[number], start // self._lanes
            if position < lane.records:
                group, first = self._group_at(lane, position)
                pieces.append(self._group(epoch, number, lane.blocks, group)[position - first :])
        return np.concatenate(pieces)

    def _lane(self, epoch: int, lane: int) -> Lane:
        turns = np.arange(lane, self._blocks, self._lanes)
        _, sizes = self._extent(self._shuffle(epoch)(turns))
        firsts = np.arange(0, len(sizes), self._window)
        ends = np.cumsum(np.add.reduceat(sizes, firsts)) if len(firsts) else sizes
        return _ChosenLane(len(turns), int(sizes.sum()), None, ends)

    def _group_at(self, lane: Lane, position: int) -> tuple[int, int]:
        assert isinstance(lane, _ChosenLane)
        group = int(np.searchsorted(lane.ends, position, side="right"))
        return group, int(lane.ends[group - 1]) if group else 0

    def _extent(self, blocks: Ids) -> tuple[Ids, Ids]:
        starts = self._chosen.edges[blocks]
        return starts, self._chosen.edges[blocks + 1] - starts

    def _stored(self, places: Ids) -> Ids:
        return self._chosen.ids(places)
