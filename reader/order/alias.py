"""An alias table: records drawn by weight, each draw in constant time (Walker; Vose, 1991).

A table of n records has n columns of equal probability, each shared by two records at most: a draw
chooses a column, and then one of its two. As whole numbers, a column holds 2^32 units:

    cut     uint32   the units of the column's own record
    alias   uint32   the record that the other units belong to

Weights become whole numbers of units, n * 2^32 in all, so that the table has exactly these; they
differ from the weights by less than two units, 2^-31 of the mean. A record of weight 0 has none.

The table is made in two sweeps side by side (Huebschle-Schneider and Sanders, Parallel Weighted
Random Sampling, 2019): light records, which leave units of their column free, are met with heavy
ones, in their order. With D the units that light records have left so far and E those that heavy
ones have too many, a light record gets the first heavy one with E > D before it; and a heavy one,
once it has given away all that it has too many, is filled up by the next. So everything is found in
running sums, a piece at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from shardio.errors import OptionError

Ids = NDArray[np.int64]
Weights = Callable[[int, int], NDArray[np.float64]]

COLUMN = 2**32
# n * 2^32 units are counted as int64.
MAX_RECORDS = 2**31 - 1
# Records that are looked at at once: some megabytes of temporaries.
_PIECE = 1 << 18


def fill_alias_table(
    table: NDArray[np.uint32], weights: Weights, name: Callable[[int], str]
) -> None:
    """Fill a table, (n, 2) with cut and alias, for n records.

    `weights` returns those of the records from one number up to another one, float64; it is called
    three times for each. `name` says in an error which record a number is. Raises OptionError for
    a weight that is negative, infinite or no number, and where all are 0.
    """
    records = len(table)
    if records > MAX_RECORDS:
        raise OptionError(f"weights are for at most {MAX_RECORDS:,} records, not {records:,}")
    bounds = _bounds(weights, records, name)
    for start, stop in _pieces(records):
        table[start:stop, 0] = 0
        table[start:stop, 1] = np.arange(start, stop)
    light = _Side(_units(weights, bounds, records), heavy=False)
    heavy = _Side(_units(weights, bounds, records), heavy=True)
    unfilled = None  # the last heavy record, which the next one fills up
    met = 0  # whether the first light record has met its heavy one
    while light.read() and heavy.read():
        if unfilled is not None:
            table[unfilled, 1] = heavy.ids[0]
        before = (light.sums - light.own)[met:]
        before = before[: np.searchsorted(before, heavy.sums[-1])]
        ids = light.ids[met : met + len(before)]
        table[ids, 0] = COLUMN - light.own[met : met + len(before)]
        table[ids, 1] = heavy.ids[np.searchsorted(heavy.sums, before, side="right")]
        given = int(np.searchsorted(heavy.sums, light.sums[-1], side="right"))
        ids, sums = heavy.ids[:given], heavy.sums[:given]
        missing = light.sums[np.searchsorted(light.sums, sums)] - sums
        # One that gives exactly what it has too many keeps a column of its own.
        ids, following = ids[missing > 0], np.flatnonzero(missing) + 1
        table[ids, 0] = COLUMN - missing[missing > 0]
        unfilled = None
        if len(following) and following[-1] == len(heavy.ids):
            unfilled, ids, following = int(ids[-1]), ids[:-1], following[:-1]
        table[ids, 1] = heavy.ids[following]
        done = int(np.searchsorted(light.sums, heavy.sums[-1], side="right"))
        met = met + len(before) - done
        light.drop(done)
        heavy.drop(given)


class _Side:
    """The records whose units are less than a column, or more, a piece at a time.

    `own` is by how many units each of `ids` differs from a column, and `sums` by how many all do
    up to it.
    """

    def __init__(self, units: Iterator[tuple[int, Ids]], *, heavy: bool) -> None:
        self._units = units
        self._sign = 1 if heavy else -1
        self._sum = 0
        self.ids = self.own = self.sums = np.empty(0, dtype=np.int64)

    def read(self) -> bool:
        """Read on where nothing is left; returns whether something is there."""
        while not len(self.ids):
            first, units = next(self._units, (0, None))
            if units is None:
                return False
            own = (units - COLUMN) * self._sign
            chosen = np.flatnonzero(own > 0)
            self.ids, self.own = first + chosen, own[chosen]
            self.sums = self._sum + np.cumsum(self.own)
            self._sum = int(self.sums[-1]) if len(chosen) else self._sum
        return True

    def drop(self, count: int) -> None:
        """Leave out the first `count`."""
        self.ids, self.own, self.sums = self.ids[count:], self.own[count:], self.sums[count:]


def _pieces(records: int) -> Iterator[tuple[int, int]]:
    for start in range(0, records, _PIECE):
        yield start, min(start + _PIECE, records)


def _bounds(weights: Weights, records: int, name: Callable[[int], str]) -> list[int]:
    """Return how many units all records have up to the end of each piece."""
    sums = []
    for start, stop in _pieces(records):
        piece = weights(start, stop)
        wrong = np.flatnonzero(~(np.isfinite(piece) & (piece >= 0)))
        if len(wrong):
            raise OptionError(
                f"the weight of {name(start + int(wrong[0]))} is {piece[wrong[0]]}: weights are "
                "numbers from 0 on"
            )
        sums.append(_running(piece)[-1])
    running = _running(np.array(sums))
    if not 0 < running[-1] < np.inf:
        raise OptionError(
            "all weights are 0: there is nothing to draw"
            if not running[-1]
            else "the sum of the weights is infinite: give smaller ones"
        )
    return [round(share * records * COLUMN) for share in (running / running[-1]).tolist()]


def _units(weights: Weights, bounds: list[int], records: int) -> Iterator[tuple[int, Ids]]:
    """Yield the units of the records, a piece at a time, and the number of its first record."""
    for (start, stop), low, high in zip(_pieces(records), [0, *bounds], bounds, strict=False):
        running = _running(weights(start, stop))
        total = running[-1] or 1.0
        ends = np.minimum(np.rint(running / total * (high - low)).astype(np.int64), high - low)
        # In floats the units of the last ones need not end there.
        ends[running == running[-1]] = high - low
        yield start, np.diff(ends, prepend=0)


def _running(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return running sums, one addition after the other: the same on every machine."""
    with np.errstate(over="ignore"):
        return np.add.accumulate(values)
