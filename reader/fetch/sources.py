"""The source that records come from, chosen when an epoch begins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from reader.fetch.source import RecordSource
from reader.files.shard_files import ShardFiles


class Sources:
    """Tells a stream which source to read from, epoch by epoch.

    `first` is the source until an epoch begins, and no other one needs more memory. `choose`, if
    given, is asked at each epoch, once it is known which copies of shards are there.
    """

    def __init__(
        self,
        files: ShardFiles[Any],
        first: RecordSource,
        choose: Callable[[], RecordSource] | None = None,
    ) -> None:
        self.first = first
        self._files = files
        self._choose = choose

    def new_epoch(self) -> RecordSource:
        """Begin an epoch: compare each shard again when it is touched; returns the source."""
        self._files.new_epoch()
        return self.first if self._choose is None else self._choose()
