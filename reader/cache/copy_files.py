"""The shards of a set as open files, each one its copy in the cache as soon as that is there."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from reader.cache.copies import ShardCopies
from reader.files.shard_files import Shard, ShardFiles
from shardio.errors import CorruptRecordError, DatasetError
from shardio.storage import RangeReader


class _NoCopyError(Exception):
    """The copy is gone, or was no good."""


class CachedShardFiles(ShardFiles[Shard]):
    """The open files of shards that `copies` holds, or will hold.

    `skips` tells whether a shard that was found to be damaged can be read.
    """

    def __init__(
        self,
        shards: Sequence[Shard],
        touch: Callable[[Shard, RangeReader], None],
        copies: ShardCopies,
        *,
        skips: bool,
    ) -> None:
        super().__init__(shards, touch)
        self._copies = copies
        self._skips = skips
        self._inodes: dict[int, int] = {}

    def get(self, number: int) -> RangeReader:
        """Return a file; it stays open as long as the caller holds it."""
        copies = self._copies
        if number not in self._same:
            if number in copies.here:
                self._compare(number, self._identity(number))
            else:
                super().get(number)
            copies.use(number)
        copies.complain(number, raises=not self._skips)
        if number in copies.here:
            try:
                # The copy of a shard has the number that `~` makes of the shard's.
                return self._files.get(~number, self._open_copy)
            except _NoCopyError:
                pass
        return super().get(number)

    @property
    def are_local(self) -> bool:
        """Whether all is read from files of this machine: the shards, or their copies."""
        return super().are_local or self._copies.all_here

    def cached(self, ids: NDArray[np.int64]) -> int:
        """Return how many of the records `ids` are read from copies, as far as is known now."""
        if self._copies.all_here:
            return len(ids)
        numbers, _ = self.locate(ids)
        return int(np.isin(numbers, list(self._copies.here)).sum())

    def new_epoch(self) -> None:
        """Compare identities again, and look which copies are there."""
        self._copies.look()
        super().new_epoch()

    def distrust(self, number: int, describe: Callable[[str], object]) -> bool:
        """Drop the copy that a damaged record was read from; returns whether there was one."""
        if number not in self._inodes:
            return False
        self._give_up(number, self._inodes[number], str(describe(self._copies.path(number))))
        return True

    def _identity(self, number: int) -> str:
        shard = self.shards[number]
        # One request for all copies: each takes as long as reading megabytes from one.
        is_listed = number in self._copies.here and shard.identity
        if is_listed and self._copies.listed(shard.path) == shard.identity:
            return shard.identity
        return super()._identity(number)

    def _open_copy(self, key: int) -> RangeReader:
        number = ~key

        def give_up(inode: int, why: str) -> RangeReader:
            self._give_up(number, inode, why)
            return self._open_source(number)

        reader = self._copies.open(number, give_up)
        if reader is None:
            raise _NoCopyError
        self._inodes[number] = inode = reader.inode
        try:
            self._touch_first(key, number, reader)
        except (CorruptRecordError, DatasetError) as error:
            self._give_up(number, inode, f"{self._copies.path(number)}: {error}")
            raise _NoCopyError from error
        self._files.drop(number)
        return reader

    def _give_up(self, number: int, inode: int, why: str) -> None:
        """Stop reading a copy."""
        self._files.drop(~number)
        self._touched.discard(~number)
        self._copies.drop(number, inode, why)
