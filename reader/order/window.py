"""The `window` order: random blocks, shuffled within a window; for storage that seeks slowly.

The records are numbered through all shards and cut into blocks of equal size, the last one short.
In each epoch

- the blocks come in random order and are dealt to lanes in turn;
- each lane cuts its blocks into windows, and the records of a window come in random order;
- the lanes take turns, a record each; when the shortest lane is at its end, what is left of the
  others follows, lane by lane.

So a lane reads whole blocks, one window of them at a time, and no block is read by two lanes but in
the last moments of an epoch. The order is a pure function of seed, epoch and position.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reader.core.compiled import permuted
from reader.order.exact import Ids, remembered
from shardio.permutation import Permutation


@dataclass(frozen=True)
class Lane:
    """The blocks of a lane in an epoch: how many, how many records, and where the short one is."""

    blocks: int
    records: int
    short: int | None


class WindowOrder:
    """The window order of `records` records.

    `block` is in records, `window` in blocks. Nothing here grows with the number of records.
    """

    def __init__(
        self, records: int, seed: int, block: int, window: int, lanes: int, owned: int | None = None
    ) -> None:
        """Order `records` records for a rank that owns `owned` of the lanes (default: all)."""
        self.records = records
        self._seed = seed
        self._block = block
        self._window = window
        self._lanes = lanes
        self._blocks = -(-records // block)
        self._missing = self._blocks * block - records
        # Each lane works in one window, and the next one is looked at ahead. In the tail, which all
        # share, those of others come and go.
        self._group = remembered(self._group_of, 2 * (owned or lanes) + 2)
        self._known: tuple[int, list[Lane]] = -1, []

    def share(self, epoch: int, start: int, stop: int, rank: int, world: int) -> Ids:
        """Return what `rank` of `world` gets of the positions `start` to `stop` of an epoch.

        A rank owns `lanes / world` neighbouring lanes. `start` and, before the tail, `stop` must
        be multiples of `lanes`. The share is shorter where `stop` is beyond the end of the epoch.
        """
        lanes = self._lanes_of(epoch)
        even = min(lane.records for lane in lanes) * self._lanes
        owned = range(rank * self._lanes // world, (rank + 1) * self._lanes // world)
        first, last = min(start, even) // self._lanes, min(stop, even) // self._lanes
        turns = [self._records_of(epoch, lane, lanes[lane], first, last) for lane in owned]
        inner = turns[0] if len(turns) == 1 else np.stack(turns, axis=1).ravel()
        if stop <= even:
            return inner
        left = max(start, even), stop
        each = (left[1] - left[0]) // world
        tail = self._tail(epoch, lanes, left[0] - even + rank * each, each)
        return np.concatenate([inner, tail])

    def at(self, epoch: int, positions: Ids) -> Ids:
        """Return the records at positions of an epoch that increase, and are close together."""
        lanes = self._lanes_of(epoch)
        even = min(lane.records for lane in lanes) * self._lanes
        split = int(np.searchsorted(positions, even))
        found = np.empty(len(positions), dtype=np.int64)
        of_lane, places = positions[:split] % self._lanes, positions[:split] // self._lanes
        for number in np.unique(of_lane).tolist():
            mine = np.flatnonzero(of_lane == number)
            first, last = int(places[mine[0]]), int(places[mine[-1]]) + 1
            ids = self._records_of(epoch, number, lanes[number], first, last)
            found[mine] = ids[places[mine] - first]
        if split < len(positions):
            left = positions[split:] - even
            first = int(left[0])
            found[split:] = self._tail(epoch, lanes, first, int(left[-1]) + 1 - first)[left - first]
        return found

    def _lanes_of(self, epoch: int) -> list[Lane]:
        # Finding the short block takes as long as a batch, and an epoch has but one.
        known, lanes = self._known
        if known != epoch:
            lanes = [self._lane(epoch, lane) for lane in range(self._lanes)]
            self._known = epoch, lanes
        return lanes

    def _lane(self, epoch: int, lane: int) -> Lane:
        blocks = max(0, -(-(self._blocks - lane) // self._lanes))
        if not self._missing:
            return Lane(blocks, blocks * self._block, None)
        place = int(self._shuffle(epoch).inverse(np.array([self._blocks - 1]))[0])
        if place % self._lanes != lane:
            return Lane(blocks, blocks * self._block, None)
        return Lane(blocks, blocks * self._block - self._missing, place // self._lanes)

    def _shuffle(self, epoch: int) -> Permutation:
        return Permutation(self._blocks, self._seed, f"{epoch} blocks")

    def _tail(self, epoch: int, lanes: list[Lane], start: int, count: int) -> Ids:
        """Return `count` of the records that are left when the shortest lane is at its end."""
        even = min(lane.records for lane in lanes)
        pieces = []
        for number, lane in enumerate(lanes):
            left = lane.records - even
            first, last = max(0, min(start, left)), max(0, min(start + count, left))
            if first < last:
                pieces.append(self._records_of(epoch, number, lane, even + first, even + last))
            start -= left
        return np.concatenate(pieces) if pieces else np.empty(0, dtype=np.int64)

    def _records_of(self, epoch: int, number: int, lane: Lane, start: int, stop: int) -> Ids:
        """Return the records at positions `start` to `stop` of a lane."""
        pieces = []
        while start < stop:
            group, first = self._group_at(lane, start)
            ids = self._group(epoch, number, lane.blocks, group)
            # A copy: a part of a window would keep all of it in memory.
            piece = ids[start - first : stop - first].copy()
            pieces.append(piece)
            start += len(piece)
        if len(pieces) == 1:
            return pieces[0]
        return np.concatenate(pieces) if pieces else np.empty(0, dtype=np.int64)

    def _group_at(self, lane: Lane, position: int) -> tuple[int, int]:
        """Return the window of a lane in which a position is, and the window's first position."""
        size = self._window * self._block
        group = position // size
        if lane.short is None:
            return group, group * size
        shortened = lane.short // self._window
        after = (position + self._missing) // size
        if after > shortened:
            return after, after * size - self._missing
        return group, group * size

    def _group_of(self, epoch: int, number: int, of_lane: int, group: int) -> Ids:
        """Compute the records of a window in their order; the lane has `of_lane` blocks."""
        first = group * self._window
        turns = np.arange(first, min(first + self._window, of_lane))
        blocks = self._shuffle(epoch)(turns * self._lanes + number)
        starts, sizes = self._extent(blocks)
        ends = np.cumsum(sizes)
        shuffle = Permutation(int(ends[-1]), self._seed, f"{epoch} window {number} {group}")
        places = permuted(shuffle, 0, int(ends[-1]))
        which = np.searchsorted(ends, places, side="right")
        return self._stored(starts[which] + places - (ends - sizes)[which])

    def _extent(self, blocks: Ids) -> tuple[Ids, Ids]:
        """Return where blocks begin, and how many records each has."""
        starts = blocks * self._block
        return starts, np.minimum(self._block, self.records - starts)

    def _stored(self, places: Ids) -> Ids:
        """Return the records at places, which blocks count."""
        return np.asarray(places, dtype=np.int64)
