"""Records of fixed size, which are found by their number alone."""

from __future__ import annotations

from dataclasses import dataclass

from reader.core.compiled import has_core
from reader.fetch.fixed_fetch import FixedFetcher
from reader.fetch.skipped import Skipped
from reader.files.record_check import touch
from reader.files.shard import ShardFile
from reader.files.shard_files import ShardFiles
from shardio.format.layout import RecordLayout
from shardio.storage import RangeReader


@dataclass(frozen=True)
class FixedRecords:
    """Records of our own with raw pixels; all of each is read, and no index is needed."""

    layout: RecordLayout
    choice = ()
    counts_rows = False

    @property
    def record_bytes(self) -> int:
        """Size of a record."""
        return self.layout.stride

    def touch(self, shard: ShardFile, reader: RangeReader, *, skips: bool) -> None:
        """Hold the first and the last record of a shard against the manifest."""
        touch(self.layout, shard, reader, skips=skips)

    def source(
        self, files: ShardFiles[ShardFile], *, verify: bool, skipped: Skipped | None
    ) -> FixedFetcher:
        """Return what reads them, through the compiled code if it is there."""
        return FixedFetcher(files, self.layout, verify=verify, skipped=skipped, compiled=has_core())

    def in_words(self) -> list[str]:
        """Say how large a record is."""
        return [f"{self.layout.stride:,} bytes a record"]

    def check_index(self, shard: ShardFile) -> None:
        """Do nothing."""

    def wrong_index(self, shard: ShardFile) -> str:
        """Say nothing."""
        return ""
