"""The first record of a shard, which says what all of them are like."""

from __future__ import annotations

from typing import BinaryIO

from reader.foreign.index_pass import MAX_RECORD_BYTES, damaged_length
from shardio.errors import DatasetError
from shardio.format.framing import FRAMING_BYTES, HEADER_BYTES, parse_header
from shardio.storage import FileInfo, storage_for


def read_first_record(info: FileInfo) -> bytes:
    """Return the data of the first record of a shard that is not empty."""
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
        return _read(stream, length)


def _read(stream: BinaryIO, size: int) -> bytes:
    """Read `size` bytes, fewer only at the end of the file; one read may return less."""
    data = b""
    while len(data) < size and (block := stream.read(size - len(data))):
        data += block
    return data
