"""Records that two members of a join have in common: each would come twice in an epoch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from reader.files.shard import ShardFile
from reader.sets.choice import PIECE, Ids
from reader.shardset import ShardSet
from shardio.errors import OptionError


def refuse_shared_records(sets: Sequence[ShardSet], names: Sequence[str]) -> None:
    """Raise OptionError, which names a record that two of the sets hold.

    Copies of a shard that a manifest describes are known by its SHA-256.
    """
    held: dict[str, list[int]] = {}
    for number, one in enumerate(sets):
        for name in {_name_of(shard) for shard in one.shards if shard.records}:
            held.setdefault(name, []).append(number)
    common = [name for name, numbers in held.items() if len(numbers) > 1]
    if not common:
        return
    places = {name: place for place, name in enumerate(common)}
    involved = sorted({number for name in common for number in held[name]})
    sizes = np.zeros(len(common), dtype=np.int64)
    for number in involved:
        for shard in sets[number].shards:
            if (place := places.get(_name_of(shard))) is not None:
                sizes[place] = shard.records
    starts = np.cumsum(sizes) - sizes
    # A bit for each record of the shards that are there twice.
    seen = np.zeros(-(-int(sizes.sum()) // 8), dtype=np.uint8)
    for number in involved:
        begins = [places.get(_name_of(shard), -1) for shard in sets[number].shards]
        for ids, found in _records(sets[number], np.array(begins), starts):
            bits = np.left_shift(1, found & 7).astype(np.uint8)
            twice = np.flatnonzero(seen[found >> 3] & bits)
            if len(twice):
                record = int(ids[twice[0]])
                before = next(n for n in involved if _holds(sets[n], sets[number], record))
                raise OptionError(
                    f"sets {before} and {number} of the list ({names[before]}, {names[number]}) "
                    "share records, such as "
                    f"{sets[number].place(record)}, and a set holds each record once: leave one of "
                    "them out, or join parts that share none; weights= and mix() let records come "
                    "more often"
                )
            np.bitwise_or.at(seen, found >> 3, bits)


def _records(one: ShardSet, begins: Ids, starts: Ids) -> Iterator[tuple[Ids, Ids]]:
    """Yield stored records of a set that lie in common shards, and their numbers in all these."""
    counts = np.array([shard.records for shard in one.shards], dtype=np.int64)
    ends = np.cumsum(counts)
    for at in range(0, len(one), PIECE):
        ids = one.chosen.ids(np.arange(at, min(at + PIECE, len(one))))
        shards = np.searchsorted(ends, ids, side="right")
        inside = begins[shards] >= 0
        ids, shards = ids[inside], shards[inside]
        yield ids, ids - (ends - counts)[shards] + starts[begins[shards]]


def _holds(one: ShardSet, other: ShardSet, record: int) -> bool:
    """Whether a set holds the shard of a stored record of another."""
    ends = np.cumsum([shard.records for shard in other.shards])
    wanted = _name_of(other.shards[int(np.searchsorted(ends, record, side="right"))])
    return any(_name_of(shard) == wanted for shard in one.shards)


def _name_of(shard: ShardFile) -> str:
    if shard.entry is not None:
        return shard.entry.sha256
    return f"{shard.path} {shard.identity}"
