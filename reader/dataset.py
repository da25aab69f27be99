"""What a set of shards is, and how its records are read."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from reader.cache.copies import ShardCopies
from reader.cache.copy_files import CachedShardFiles
from reader.cache.folder import ShardCache
from reader.fetch.record_kind import Layout, RecordKind
from reader.fetch.skipped import Skipped
from reader.fetch.source import RecordSource
from reader.files.mapped_files import Maps
from reader.files.shard import ShardFile
from reader.files.shard_files import ShardFiles
from reader.sets.choice import PIECE, Choice, whole
from reader.sets.mix import Mix
from reader.stats.stream_counts import StreamCounts
from reader.stats.stream_stats import StreamStats
from shardio.cached_property import cached_property
from shardio.format.label import Label
from shardio.format.manifest import Manifest
from shardio.format.naming import ShardName
from shardio.storage.paths import is_local


@dataclass(frozen=True, repr=False)
class Dataset:
    """Shards that were found and checked, and the sources that read them.

    `shape` is (height, width, channels) of every image. `labels` are the heads; without a manifest
    their number of classes is 0, meaning not known. `left_out` are the shards of the same
    splits that the glob did not take. With a `cache` shards are read from there once they are
    copied. Records of several sets, the `members`, come one after the other; a `mix` says how
    often each of them comes. With a `choice` the set holds some of the records of its shards,
    numbered from 0.
    """

    shards: tuple[ShardFile, ...]
    kind: RecordKind
    shape: tuple[int, int, int]
    labels: tuple[Label, ...]
    manifest: Manifest | None
    left_out: tuple[str, ...]
    cache: ShardCache | None = None
    members: tuple[Dataset, ...] = ()
    mix: Mix | None = None
    choice: Choice | None = None

    @property
    def layout(self) -> Layout:
        """The sizes of records."""
        return self.kind.layout

    def __len__(self) -> int:
        return self.stored_records if self.choice is None else len(self.choice)

    @cached_property
    def begins(self) -> tuple[int, ...]:
        """The number of the first stored record of each member."""
        sizes = [member.stored_records for member in self.members]
        return tuple(sum(sizes[:member]) for member in range(len(sizes)))

    @cached_property
    def splits(self) -> dict[str, int]:
        """The number of records of each split; empty where files are not named as shards are."""
        found: dict[str, int] = {}
        for shard, records in zip(self.shards, self._records_of_shards, strict=True):
            name = ShardName.parse(shard.path.rpartition("/")[2])
            if name is not None and records:
                found[name.split] = found.get(name.split, 0) + records
        return found

    @cached_property
    def _records_of_shards(self) -> list[int]:
        """How many records of each shard the set holds."""
        if self.choice is None:
            return [shard.records for shard in self.shards]
        ends = np.cumsum([shard.records for shard in self.shards], dtype=np.int64)
        counts = np.zeros(len(ends), dtype=np.int64)
        for at in range(0, len(self), PIECE):
            ids = self.choice.ids(np.arange(at, min(at + PIECE, len(self))))
            shards = np.searchsorted(ends, ids, side="right")
            counts += np.bincount(shards, minlength=len(ends))
        return [int(count) for count in counts]

    @property
    def chosen(self) -> Choice:
        """Which of the stored records the set holds."""
        return whole(self.stored_records) if self.choice is None else self.choice

    @property
    def version(self) -> str:
        """What storage says of shards that no manifest describes: they may be written anew."""
        found = [(x.path, x.identity, x.size) for x in self.shards if x.entry is None]
        return repr(found) if found else ""

    @cached_property
    def stored_records(self) -> int:
        """How many records the shards hold, chosen or not."""
        return sum(shard.records for shard in self.shards)

    @cached_property
    def is_local(self) -> bool:
        """Whether all shards are files of this machine, or of a mount."""
        return all(is_local(shard.path) for shard in self.shards)

    @property
    def classes(self) -> tuple[int, ...]:
        """The number of classes of every head."""
        return tuple(label.classes for label in self.labels)

    @cached_property
    def fingerprint(self) -> str:
        """Which records these are, and in which numbering: a SHA-256."""
        if self.members:
            of_members = [member.fingerprint for member in self.members]
            part = () if self.choice is None else (self.choice.digest,)
            return hashlib.sha256(repr(("members", of_members, *part)).encode()).hexdigest()
        manifest = None if self.manifest is None else self.manifest.fingerprint
        names = [(shard.path.rpartition("/")[2], shard.records) for shard in self.shards]
        choice = (self.kind.choice,) if self.kind.choice else ()
        if self.choice is not None:
            choice = *choice, self.choice.digest
        return hashlib.sha256(repr((manifest, names, *choice)).encode()).hexdigest()

    def files(self, *, skips: bool = False) -> ShardFiles[Any]:
        """Return the shards as open files, each one checked when it is touched first.

        With `skips` a damaged record at an end of a shard is no error yet.
        """
        touch = partial(self.kind.touch, skips=skips)
        if self._copies is None:
            return ShardFiles(self.shards, touch)
        return CachedShardFiles(self.shards, touch, self._copies, skips=skips)

    def source(self, *, verify: bool, skipped: Skipped | None = None) -> RecordSource:
        """Open the records for reading by number."""
        return self.sources(verify=verify, skipped=skipped).first

    def sources(self, *, verify: bool, skipped: Skipped | None = None) -> Sources:
        """Open the records for reading epoch by epoch, each with the source that suits it."""
        files = self.files(skips=skipped is not None)
        source = self.kind.source(files, verify=verify, skipped=skipped)
        return Sources(files, source, self._maps_now, is_local=self.is_local)

    def _maps_now(self) -> Maps | None:
        """Return the maps of the shards or their copies; None unless all are local files."""
        copies = self._copies
        if not (self.is_local or (copies is not None and copies.all_here)):
            return None
        return self._maps if copies is None else copies.maps()

    def place(self, number: int) -> str:
        """Name the shard of a stored record, and its number there."""
        for shard in self.shards:
            if number < shard.records:
                return f"{shard.path}: record {number}"
            number -= shard.records
        raise IndexError(f"{number} records too many")

    @property
    def cached(self) -> int:
        """How many of the shards are in the cache now."""
        if self._copies is None:
            return 0
        self._copies.look()
        return len(self._copies.here)

    @property
    def stats(self) -> StreamStats:
        """What all streams of this set have given, in this process and its DataLoaders' processes.

        Parts of it and joins are sets themselves, with numbers of their own, and so is a copy. A
        process that is forked begins to count again.
        """
        return self.counts.stats()

    @property
    def counts(self) -> StreamCounts:
        """Where streams of this set are counted, in this process."""
        known: StreamCounts | None = self.__dict__.get("_counts")
        if known is None or known.pid != os.getpid():
            known = self.__dict__["_counts"] = StreamCounts()
        return known

    @property
    def _copies(self) -> ShardCopies | None:
        if self.cache is None:
            return None
        known: ShardCopies | None = self.__dict__.get("_copies_here")
        # The thread that fills the cache is not there after a fork.
        if known is None or known.pid != os.getpid():
            version = "" if self.manifest is None else self.manifest.fingerprint
            if self.members:
                version = self.fingerprint
            # Of a part of a set only the shards are copied that hold some of it.
            wanted = [
                shard if records else replace(shard, size=0)
                for shard, records in zip(self.shards, self._records_of_shards, strict=True)
            ]
            known = self.__dict__["_copies_here"] = ShardCopies(self.cache, wanted, version)
        return known

    @cached_property
    def _maps(self) -> Maps:
        return Maps()

    @cached_property
    def _records_source(self) -> RecordSource:
        return self.source(verify=True)

    def __getstate__(self) -> dict[str, Any]:
        """Return what another process needs: not the files that are open here."""
        open_here = ("_records_source", "_maps", "_copies_here", "_counts")
        return {name: value for name, value in vars(self).items() if name not in open_here}


class Sources:
    """Tells a stream which source to read from, epoch by epoch.

    That is `source`, which reads from any storage, or the one for files of this machine. `maps`
    returns the maps of these while the shards, or copies of all of them, are such files; else None.
    It is asked at each epoch: copies come one by one, and may go. `is_local` tells whether the
    shards themselves are such files.
    """

    def __init__(
        self,
        files: ShardFiles[Any],
        source: RecordSource,
        maps: Callable[[], Maps | None],
        *,
        is_local: bool,
    ) -> None:
        self._files = files
        self._source = source
        self._maps = maps
        self._chosen: tuple[Maps | None, RecordSource] = None, source
        # That which needs the most memory: copies may go, and be made again.
        self.first = self.now() if is_local else source

    @property
    def files(self) -> ShardFiles[Any]:
        """The files that all sources read."""
        return self._files

    def new_epoch(self) -> RecordSource:
        """Begin an epoch: compare each shard again when it is touched; returns the source."""
        self._files.new_epoch()
        return self.now()

    def now(self) -> RecordSource:
        """Return the source for the files that are there now, the same one for the same files."""
        maps = self._maps()
        if maps is not self._chosen[0]:
            self._chosen = maps, self._source if maps is None else self._source.mapped(maps)
        return self._chosen[1]
