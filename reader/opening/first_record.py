"""The first record of a shard, which says what all of them are like."""

from __future__ import annotations

from typing import BinaryIO

from reader.foreign.index_pass import MAX_RECORD_BYTES, damaged_length
from shardio.errors import CorruptRecordError, DatasetError
from shardio.format.framing import (
    FOOTER_BYTES,
    FRAMING_BYTES,
    HEADER_BYTES,
    frame_footer,
    parse_header,
)
from shardio.storage import FileInfo, storage_for


def read_first_record(info: FileInfo, *, verify: bool = False) -> bytes:
    """Return the data of the first record of a shard that is not empty.

    Raises DatasetError where it is cut or its length damaged and, to `verify`, CorruptRecordError
    where its CRC does not agree.
    """
    with storage_for(info.path).open_stream(info.path) as stream:
        header = _read(stream, HEADER_BYTES)
        length = parse_header(header) if len(header) == HEADER_BYTES else None
        if length is None or length > MAX_RECORD_BYTES:
            raise damaged_length(info.path, 0, 0, header)
        if length > info.size - FRAMING_BYTES:
            raise DatasetError(
                f"{info.path} ends at byte {info.size}, within record 0, which starts at byte 0: "
                "it was cut"
            )
        data = _read(stream, length)
        if verify and frame_footer(data) != _read(stream, FOOTER_BYTES):
            raise CorruptRecordError(f"{info.path}: record 0: the CRC of its data does not agree")
        return data


def _read(stream: BinaryIO, size: int) -> bytes:
    """Read `size` bytes, fewer only at the end of the file; one read may return less."""
    data = b""
    while len(data) < size and (block := stream.read(size - len(data))):
        data += block
    return data
