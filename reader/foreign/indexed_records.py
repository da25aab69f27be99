"""Records of any size, which are found by an index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from reader.fetch.record_kind import ExampleForm, RecordKind
from reader.fetch.skipped import Skipped
from reader.files.record_check import replaced
from reader.files.shard import IndexedShard
from reader.files.shard_files import ShardFiles
from reader.foreign.index_pass import make_index
from reader.foreign.indexed_fetch import IndexedFetcher
from reader.foreign.layout import ForeignLayout
from reader.foreign.raw_pixels import UINT8
from reader.foreign.shard_index import beside
from shardio.errors import DatasetError, ShardioError
from shardio.format.framing import (
    FOOTER_BYTES,
    FRAMING_BYTES,
    HEADER_BYTES,
    masked_crc,
    parse_header,
)
from shardio.storage import RangeReader, storage_for
from shardio.storage.whole_file import digest_of


@dataclass(frozen=True)
class IndexedRecords:
    """Records that are a `tf.train.Example`: encoded images of our own, and other tools' sets."""

    layout: ForeignLayout

    @property
    def choice(self) -> tuple[object, ...]:
        """Which of all that the records hold is read, and as what."""
        return self.layout.choice

    @property
    def example(self) -> ExampleForm:
        """How other tools read the records."""
        layout = self.layout
        resized = layout.fit is not None
        plain = layout.raw == UINT8
        return ExampleForm(layout.image, layout.encoded, resized, layout.missing, plain)

    @property
    def image_dtype(self) -> Literal["uint8", "float32"]:
        """What images are as they are stored: floats have no other dtype."""
        return self.layout.image_dtype

    @property
    def counts_rows(self) -> bool:
        """Whether the row of a record is its number in the set, as none is stored."""
        return self.layout.row is None

    @property
    def record_bytes(self) -> int:
        """The mean size of a record."""
        return self.layout.record_bytes

    def touch(self, shard: IndexedShard, reader: RangeReader, *, skips: bool) -> None:
        """Hold the first and the last record of a shard against its index and the manifest."""
        entry = shard.entry
        crcs = (None, None) if entry is None else (entry.first_crc, entry.last_crc)
        for record, crc in zip((0, shard.records - 1), crcs, strict=True):
            start, stop = shard.index.offsets[record : record + 2].tolist()
            data = np.zeros(stop - start, dtype=np.uint8).data
            reader.read_into(start, data)
            length = parse_header(bytes(data[:HEADER_BYTES]))
            if length is not None and length != len(data) - FRAMING_BYTES:
                raise DatasetError(
                    f"{shard.path}: record {record} at byte {start} is not as long as its index "
                    f"says: the index is of another file; remove {beside(shard.path)}"
                )
            stored = int.from_bytes(data[-FOOTER_BYTES:], "little")
            # A damaged one is named, or skipped, when it is read.
            if crc is None or crc == stored:
                continue
            if masked_crc(data[HEADER_BYTES:-FOOTER_BYTES]) == stored:
                raise replaced(shard.path, record, start, stored, crc)

    def source(
        self, files: ShardFiles[IndexedShard], *, verify: bool, skipped: Skipped | None
    ) -> IndexedFetcher:
        """Return what reads them."""
        return IndexedFetcher(files, self.layout, verify=verify, skipped=skipped)

    def joined(self, others: Sequence[RecordKind]) -> IndexedRecords:
        """Return the kind of the records of several sets: their indexes are summed up."""
        layouts = [self.layout, *(kind.layout for kind in others if isinstance(kind, type(self)))]
        return IndexedRecords(
            replace(
                self.layout,
                strange=frozenset().union(*(layout.strange for layout in layouts)),
                record_bytes=max(layout.record_bytes for layout in layouts),
                longest=tuple(sorted((n for x in layouts for n in x.longest), reverse=True)),
                source_pixels=max(layout.source_pixels for layout in layouts),
                index_bytes=sum(layout.index_bytes for layout in layouts),
            )
        )

    def in_words(self) -> list[str]:
        """Say how large a record is, and which feature is read."""
        kind = "encoded" if self.layout.encoded else "raw"
        return [
            f"some {self.layout.record_bytes:,} bytes a record",
            f"{kind} images from {self.layout.image!r}, each record found by index",
        ]

    def check_index(self, shard: IndexedShard) -> None:
        """Raise ShardioError where a shard of ours had no index of its own beside it.

        What one says is checked with the records: each is whole where it says.
        """
        if shard.entry is not None and shard.lacked:
            raise ShardioError(
                f"{beside(shard.path)}: was missing, or not the index of its shard; the "
                "converter's --repair makes it again, if it is not there by now"
            )

    def wrong_index(self, shard: IndexedShard) -> str:
        """Say so if it is not a shard of ours that is damaged, but its index."""
        try:
            if shard.entry is None or digest_of(shard.path) != shard.entry.sha256:
                return ""
            info = storage_for(shard.path).stat(shard.path)
            index = make_index(info, lambda size: None)
        except ShardioError:
            return ""
        if np.array_equal(index.offsets, shard.index.offsets):
            return ""
        return (
            f"{beside(shard.path)}: is not the index of its shard, which is whole; the converter's "
            "--repair makes it again"
        )
