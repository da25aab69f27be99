"""A shard as it was found."""

from __future__ import annotations

from dataclasses import dataclass, field

from shardio.format.index import ShardIndex
from shardio.format.manifest import ShardEntry


@dataclass(frozen=True)
class ShardFile:
    """A shard as it was found: where, how many records, and what the manifest says of it.

    `identity` is the storage's, of the moment when the set was opened; empty where not known.
    `size` is in bytes.
    """

    path: str
    records: int
    entry: ShardEntry | None
    identity: str = ""
    size: int = 0


@dataclass(frozen=True, kw_only=True)
class IndexedShard(ShardFile):
    """A shard whose records are found by an index.

    `lacked` is True if no valid index lay beside the shard, so a cached or new one is used.
    """

    index: ShardIndex = field(compare=False, repr=False)
    lacked: bool = field(default=False, compare=False, repr=False)
