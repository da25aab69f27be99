"""The shards of a set as a cache holds them: which are there, opened for reading."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress

from reader.cache.cached_set import Origin
from reader.cache.filler import CacheFiller, Copy
from reader.cache.folder import CacheWarning, ShardCache
from reader.files.mapped_files import Maps
from reader.files.shard import ShardFile
from shardio.errors import ShardioError, StorageError
from shardio.storage import RangeReader, storage_for
from shardio.storage.local_files import LocalRanges
from shardio.storage.paths import folder_of, name_of


class ShardCopies:
    """The copies of `shards` in a cache, for one process; other ones may use the same.

    `version` tells versions of the whole set apart, where it is known. As long as this lives the
    copies are not evicted, and those that are missing are made by a thread from the first use on.
    """

    def __init__(self, cache: ShardCache, shards: Sequence[ShardFile], version: str) -> None:
        self.pid = os.getpid()
        folders = sorted({folder_of(shard.path) for shard in shards})
        self._folder = cache.set_folder(_digest(*folders, version))
        self._copies = {
            number: Copy(
                shard.path,
                shard.identity,
                shard.size,
                "" if shard.entry is None else shard.entry.sha256,
                self._path(shard),
            )
            for number, shard in enumerate(shards)
            if shard.size
        }
        self._filler = CacheFiller(cache, self._folder, self._copies)
        self._listed: dict[str, dict[str, str]] = {}
        self._begins = True
        self._has_warned = False
        self._maps: tuple[frozenset[int], Maps] | None = None
        self._lock = -1
        try:
            sizes = [copy.size for copy in self._copies.values()]
            origin = Origin(tuple(folders), len(sizes), sum(sizes))
            self._lock = cache.open_set(self._folder, origin)
        except (ShardioError, OSError) as error:
            self._filler.problem = str(error)
        else:
            self._filler.look()

    def __del__(self) -> None:
        self._filler.ended = True
        if self._lock >= 0:
            os.close(self._lock)

    def _path(self, shard: ShardFile) -> str:
        sha256 = "" if shard.entry is None else shard.entry.sha256
        key = _digest(shard.path, str(shard.size), shard.identity, sha256)
        return os.path.join(self._folder, f"{key}-{name_of(shard.path)}")

    @property
    def here(self) -> set[int]:
        """The shards whose copies are there."""
        return self._filler.here

    @property
    def all_here(self) -> bool:
        """Whether all copies are there."""
        return len(self.here) == len(self._copies)

    def look(self) -> None:
        """Look which copies are there; missing ones are made from the next use on.

        There may have been no room for them before.
        """
        self._listed = {}
        if self._lock >= 0:
            self._filler.look()
            self._begins = True

    def listed(self, path: str) -> str | None:
        """Return the identity of a shard as the list of its folder says, asked for once an epoch.

        None means not known.
        """
        folder = folder_of(path)
        if folder not in self._listed:
            found = storage_for(folder).list(folder)
            self._listed[folder] = {info.path: info.identity for info in found}
        return self._listed[folder].get(path)

    def use(self, number: int) -> None:
        """Record that a shard is read."""
        if self._begins and self._lock >= 0:
            self._begins = False
            self._filler.begin()
        if number in self.here:
            with suppress(OSError):
                os.utime(self._copies[number].path)

    def complain(self, number: int, *, raises: bool) -> None:
        """Warn, once, if there is a problem; or raise the error for a shard that is damaged."""
        if self._filler.problem and not self._has_warned:
            self._has_warned = True
            warnings.warn(
                f"shards are read from their source and not cached: {self._filler.problem}",
                CacheWarning,
                stacklevel=2,
            )
        if raises and number in self._filler.damaged:
            raise self._filler.damaged[number]

    def open(self, number: int, give_up: Callable[[int, str], RangeReader]) -> CopyRanges | None:
        """Open a copy; None where it is gone. `give_up` is as CopyRanges wants it."""
        copy = self._copies[number]
        try:
            descriptor = os.open(copy.path, os.O_RDONLY)
        except OSError:
            self.here.discard(number)
            return None
        return CopyRanges(copy.path, descriptor, give_up)

    def path(self, number: int) -> str:
        """Return where a copy lies."""
        return self._copies[number].path

    def drop(self, number: int, inode: int, why: str) -> None:
        """Remove a copy that is damaged, if it is still the file `inode`."""
        copy = self._copies[number]
        self._maps = None
        with suppress(OSError):
            if os.stat(copy.path).st_ino != inode:
                return
            self.here.discard(number)
            os.unlink(copy.path)
            warnings.warn(
                f"{why}. The copy in the cache is removed, and {copy.source} is read instead",
                CacheWarning,
                stacklevel=2,
            )

    def maps(self) -> Maps:
        """Return memory maps for the copies that are here now."""
        here = frozenset(self.here)
        if self._maps is None or self._maps[0] != here:
            self._maps = here, Maps()
        return self._maps[1]


class CopyRanges(LocalRanges):
    """An open copy; where it cannot be read, or was cut, another file is read instead.

    That is what `give_up` returns, which is told the inode of the copy and what is wrong with it.
    """

    def __init__(
        self, path: str, descriptor: int, give_up: Callable[[int, str], RangeReader]
    ) -> None:
        super().__init__(path, descriptor)
        self._source: RangeReader | None = None
        self.inode = os.fstat(descriptor).st_ino
        self._give_up = give_up

    def read_into(self, offset: int, memory: memoryview) -> int:
        """Fill `memory` from byte `offset`."""
        if self._source is None:
            try:
                got = super().read_into(offset, memory)
                if got == len(memory):
                    return got
                why = f"{self._path} was cut at byte {offset + got}"
            except StorageError as error:
                why = str(error)
            self._source = self._give_up(self.inode, why)
        return self._source.read_into(offset, memory)

    def close(self) -> None:
        """Close the files."""
        super().close()
        if self._source is not None:
            self._source.close()


def _digest(*texts: str) -> str:
    return hashlib.sha256(repr(texts).encode(errors="surrogateescape")).hexdigest()[:24]
