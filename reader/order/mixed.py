"""The order of a mix: records of several members, in shares that are exact in each round.

Positions come in turns, and a round is 1,024 turns. Of these each member has a whole number, its
places, dealt by the permutation of the round, and it gives its own records in its own order. So
what a member has given before a position is its places times the rounds, and what it has in the
round so far. A member that is at its end goes on with its next epoch.

A turn is one position or, in the order `window`, one of each lane, so that the records of a member
keep to their lanes: a lane is read by one worker alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from reader.core.compiled import permuted
from reader.order.exact import Ids, remembered
from shardio.cached_property import cached_property
from shardio.permutation import Permutation

ROUND = 1024
# Rounds that are dealt at once: their temporaries stay in the L2 cache.
_DEALT = 8
_CACHED = 4


class MemberOrder(Protocol):
    """The order of a member in its epochs."""

    def at(self, epoch: int, positions: Ids) -> Ids:
        """Return the records at positions of an epoch, which increase."""


def places_of(weights: Sequence[float]) -> tuple[int, ...]:
    """Return how many places in a round each member gets: its share, rounded, and at least one.

    What is left of the round after rounding down goes to the largest remainders, of equal ones to
    the first. `weights` are positive, and no more than 1,024.
    """
    shares = [Fraction(weight) for weight in weights]
    # Who would have less than one has one, and the others share the rest.
    small: set[int] = set()
    while True:
        total = sum(share for member, share in enumerate(shares) if member not in small)
        left = ROUND - len(small)
        found = {m for m, share in enumerate(shares) if m not in small and share * left < total}
        if not found:
            break
        small |= found
    quotas = [
        Fraction(1) if member in small else share * left / total
        for member, share in enumerate(shares)
    ]
    places = [int(quota) for quota in quotas]
    by_remainder = sorted(range(len(shares)), key=lambda m: (places[m] - quotas[m], m))
    for member in by_remainder[: ROUND - sum(places)]:
        places[member] += 1
    return tuple(places)


@dataclass(frozen=True)
class MixStart:
    """Where the shares of a mix began to count, and a place of the stream since then.

    Rounds count from `round`; before it each member had given its records of `given` turns. The
    position `position` since then is the sample `samples` of `epoch`: where a stream was resumed.
    """

    places: tuple[int, ...]
    given: tuple[int, ...]
    round: int = 0
    position: int = 0
    epoch: int = 0
    samples: int = 0

    @classmethod
    def first(cls, places: tuple[int, ...]) -> MixStart:
        """Return the beginning of a mix."""
        return cls(places, (0,) * len(places))

    def position_of(self, epoch: int, samples: int, length: int) -> int:
        """Return the position of a sample, where epochs have `length` positions."""
        if epoch == self.epoch:
            return self.position + samples - self.samples
        # Epochs may have been longer before.
        rest = max(0, length - self.samples)
        return self.position + rest + (epoch - self.epoch - 1) * length + samples

    def deal(self, number: int, seed: int) -> NDArray[np.uint16]:
        """Return which member gives its records in each turn of a round, counted from `round`."""
        shuffle = Permutation(ROUND, seed, f"mix {self.round + number}")
        return self._of_place[permuted(shuffle, 0, ROUND)]

    @cached_property
    def _of_place(self) -> NDArray[np.uint16]:
        return np.repeat(np.arange(len(self.places), dtype=np.uint16), self.places)

    def with_places(self, places: tuple[int, ...], lanes: int, seed: int) -> MixStart:
        """Return a start with other places, which count from here on; turns have `lanes`."""
        if places == self.places:
            return self
        rounds, turns = divmod(self.position // lanes, ROUND)
        dealt = np.bincount(self.deal(rounds, seed)[:turns], minlength=len(places))
        given = np.array(self.given) + rounds * np.array(self.places) + dealt
        return MixStart(
            places, tuple(given.tolist()), self.round + rounds + 1, 0, self.epoch, self.samples
        )


class MixedOrder:
    """The order of a mix whose epochs have `length` positions.

    `members` are (order, size, number of the first record) of each, in the order of `start`.
    Nothing here grows with the number of records.
    """

    def __init__(
        self,
        members: Sequence[tuple[MemberOrder, int, int]],
        start: MixStart,
        length: int,
        seed: int,
        lanes: int | None = None,
    ) -> None:
        """Order the records of a mix; `lanes` are those of the order `window`."""
        self._members = members
        self._start = start
        self._length = length
        self._seed = seed
        self._in_lanes = lanes is not None
        self._lanes = lanes or 1
        self._rounds = 1 if self._in_lanes else _DEALT
        self._block = remembered(self._block_of, _CACHED)

    def share(self, epoch: int, start: int, stop: int, rank: int, world: int) -> Ids:
        """Return what `rank` of `world` gets of the positions `start` to `stop` of an epoch.

        It is a slice or, with lanes, the positions of the rank's lanes; then `start` and `stop` are
        multiples of the lanes. It is shorter where the positions go beyond the end of the epoch.
        """
        if self._in_lanes:
            owned = range(rank * self._lanes // world, (rank + 1) * self._lanes // world)
        else:
            each = (stop - start) // world
            start += rank * each
            stop, owned = start + each, range(1)
        at = self._start.position_of(epoch, 0, self._length)
        first, last = (at + min(place, self._length) for place in (start, stop))
        return self._turns(first // self._lanes, last // self._lanes, owned)

    def _turns(self, first: int, last: int, owned: range) -> Ids:
        """Return the records of the lanes `owned` in the turns `first` to `last`."""
        size = self._rounds * ROUND
        pieces = []
        for number in range(first // size, -(-last // size)):
            begin = number * size
            part = self._block(number, owned)[max(first - begin, 0) : last - begin]
            # A copy: a part of a block would keep all of it in memory.
            pieces.append(part.flatten())
        if len(pieces) == 1:
            return pieces[0]
        return np.concatenate(pieces) if pieces else np.empty(0, dtype=np.int64)

    def _block_of(self, number: int, owned: range) -> Ids:
        """Compute the records of the lanes `owned` in some rounds, (turns, lanes)."""
        first = number * self._rounds
        rounds = np.arange(first, first + self._rounds)
        dealt = np.stack([self._start.deal(number, self._seed) for number in rounds.tolist()])
        # In each round the turns of the first member, of the second one, and so on.
        turns = np.argsort(dealt, axis=1, kind="stable") + (rounds - first)[:, None] * ROUND
        block = np.empty((dealt.size, len(owned)), dtype=np.int64)
        place = 0
        for member, places in enumerate(self._start.places):
            given = self._start.given[member] + first * places
            mine = turns[:, place : place + places].ravel()
            block[mine] = self._records(member, given, len(mine), owned)
            place += places
        return block

    def _records(self, member: int, given: int, turns: int, owned: range) -> Ids:
        """Return what a member gives in `turns` turns when it has given its records of `given`."""
        order, size, begin = self._members[member]
        turn = np.arange(given, given + turns)[:, None]
        positions = (turn * self._lanes + np.array(owned)).ravel()
        epochs = range(int(positions[0]) // size, int(positions[-1]) // size + 1)
        ends = np.searchsorted(positions, [(epoch + 1) * size for epoch in epochs]).tolist()
        found = np.empty(len(positions), dtype=np.int64)
        for epoch, low, high in zip(epochs, [0, *ends], ends, strict=False):
            if low < high:
                found[low:high] = order.at(epoch, positions[low:high] - epoch * size)
        return (found + begin).reshape(turns, len(owned))
