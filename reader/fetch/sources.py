"""The source that records come from, chosen when an epoch begins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from reader.fetch.source import RecordSource
from reader.files.mapped_files import Maps
from reader.files.shard_files import ShardFiles


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
