"""Whether a record of fixed size is whole, and if not, where and why.

This is slow, and only asked when something is wrong.
"""

from __future__ import annotations

import crc32c

from reader.files.shard import ShardFile
from shardio.errors import CorruptRecordError, DatasetError, UnsupportedRecordError
from shardio.format.framing import FOOTER_BYTES, frame_header, mask_crc
from shardio.format.layout import RecordLayout
from shardio.storage import RangeReader

_OTHER_LAYOUT = "it is a record of another layout; open shards of one kind at a time"


def fault(layout: RecordLayout, data: bytes | memoryview) -> tuple[int, str] | None:
    """Return the byte within a whole record and what is wrong with it, None if nothing is."""
    header = frame_header(layout.data_bytes)
    if data[: len(header)] != header:
        return 0, "its length or the CRC of its length is damaged"
    stored = int.from_bytes(data[-FOOTER_BYTES:], "little")
    found = mask_crc(crc32c.crc32c(data[len(header) : -FOOTER_BYTES]))
    if stored != found:
        return len(header), f"the CRC of its data is {found:08x}, but {stored:08x} is stored"
    if data[: len(layout.head)] != layout.head:
        return len(header), _OTHER_LAYOUT
    return None


def damage(
    layout: RecordLayout, path: str, record: int, data: bytes | memoryview
) -> CorruptRecordError | UnsupportedRecordError:
    """Make the error for a bad record; one whose CRC agrees is not damaged."""
    at, what = fault(layout, data) or (0, "it is damaged")
    offset = record * layout.stride + at
    kind = UnsupportedRecordError if what == _OTHER_LAYOUT else CorruptRecordError
    return kind(f"{path}: record {record} at byte {offset}: {what}")


def touch(layout: RecordLayout, shard: ShardFile, reader: RangeReader, *, skips: bool) -> None:
    """Hold the first and the last record of a shard against the manifest.

    With `skips` a damaged one is no error yet: it is counted when it is read.
    """
    stride, entry = layout.stride, shard.entry
    expected = (
        {0: None, shard.records - 1: None}
        if entry is None
        else {0: entry.first_crc, shard.records - 1: entry.last_crc}
    )
    data = memoryview(bytearray(stride))  # slices are no copies: a record may be large
    for record, crc in expected.items():
        if reader.read_into(record * stride, data) != stride:
            raise DatasetError(f"{shard.path} is shorter than when it was opened")
        if fault(layout, data) is not None:
            found = damage(layout, shard.path, record, data)
            if skips and isinstance(found, CorruptRecordError):
                continue
            raise found
        stored = int.from_bytes(data[-FOOTER_BYTES:], "little")
        if crc is not None and stored != crc:
            raise replaced(shard.path, record, record * stride, stored, crc)


def replaced(path: str, record: int, at: int, stored: int, crc: int) -> DatasetError:
    """Return the error for a whole record whose CRC is not the one in the manifest."""
    return DatasetError(
        f"{path} is not the shard that dataset.json describes: record {record} at byte {at} has "
        f"CRC {stored:08x}, not {crc:08x}. It was replaced, or belongs to another conversion"
    )
