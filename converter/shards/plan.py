"""Which row goes to which shard: pure, and settled before any image is opened."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from converter.table.grouping import count_codes, rows_by_code
from shardio.errors import OptionError
from shardio.format.naming import MAX_SHARDS, ShardName
from shardio.format.plan import PlannedSplit
from shardio.grammar import counted
from shardio.permutation import Permutation

ALL = slice(None)
DEFAULT_SHARD_BYTES = 256_000_000
# A table too small for several shards of the default size is still cut into some, so that workers
# can share it; but not so fine that opening shards would cost more than reading them.
_SMALL_SHARDS = 16
_SMALL_SHARD_RECORDS = 256


@dataclass(frozen=True)
class ShardPlan:
    """The shards of a conversion, and the rows of each.

    `rows` holds the rows of every split in the order of the table; None stands for all rows.
    """

    splits: tuple[PlannedSplit, ...]
    seed: int
    rows: dict[str, NDArray[np.int64] | None]

    def names(self) -> list[ShardName]:
        """Return the names of all shards in canonical order."""
        return [
            ShardName(split.split, index, split.shards)
            for split in self.splits
            for index in range(split.shards)
        ]

    def count_of(self, name: ShardName) -> int:
        """Return the number of rows of a shard."""
        return len(self._places(name))

    def rows_of(self, name: ShardName, part: slice = ALL) -> NDArray[np.int64]:
        """Return the rows of a shard, or a part of them, in the order in which they are stored."""
        rows = self.rows[name.split]
        shuffle = Permutation(self._rows_in(name.split), self.seed, f"split {name.split}")
        place = self._places(name)[part]
        places = shuffle(np.arange(place.start, place.stop, place.step))
        return places if rows is None else rows[places]

    def _places(self, name: ShardName) -> range:
        count = self._rows_in(name.split)
        return range(count * name.index // name.count, count * (name.index + 1) // name.count)

    def _rows_in(self, split: str) -> int:
        return next(planned.rows for planned in self.splits if planned.split == split)


def plan_shards(
    split: NDArray[np.int32],
    splits: tuple[str, ...],
    *,
    stride: int,
    shards: int | None,
    shard_size: int | None,
    seed: int,
) -> ShardPlan:
    """Deal rows to shards.

    `split` is the index into `splits` of each row, `stride` the size of a record in bytes.
    `shards` are shared among the splits by their rows, each getting at least one and at most one
    a row; but for these two limits, there are as many as asked for. Raises OptionError for more
    shards than a split can have.
    """
    of_code = count_codes(split, len(splits))
    counts = {name: int(count) for name, count in zip(splits, of_code, strict=True) if count}
    rows: dict[str, NDArray[np.int64] | None] = dict.fromkeys(counts)
    if len(counts) > 1:
        rows = dict(zip(splits, rows_by_code(split, of_code), strict=True))
    shares = {} if shards is None else _share(shards, counts)
    planned = []
    for name, count in sorted(counts.items()):
        if shards is not None:
            number = shares[name]
        elif shard_size is not None:
            number = _ceil(count, max(1, shard_size // stride))
        else:
            number = max(
                _ceil(count, max(1, DEFAULT_SHARD_BYTES // stride)),
                min(_SMALL_SHARDS, _ceil(count, _SMALL_SHARD_RECORDS)),
            )
        number = min(number, count)
        if number > MAX_SHARDS:
            raise OptionError(
                f"split {name} would get {counted(number, 'shard')}, and {MAX_SHARDS:,} is the "
                "most; "
                "choose a larger --shard-size"
            )
        planned.append(PlannedSplit(name, count, number))
    return ShardPlan(tuple(planned), seed, rows)


def _share(shards: int, rows: dict[str, int]) -> dict[str, int]:
    """Share shards among splits: each next one goes to the split with most rows a shard."""
    shares = dict.fromkeys(sorted(rows), 1)
    for _ in range(min(shards, sum(rows.values())) - len(shares)):
        shares[max(shares, key=lambda name: Fraction(rows[name], shares[name]))] += 1
    return shares


def _ceil(count: int, size: int) -> int:
    return -(-count // size)
