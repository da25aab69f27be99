"""One pass over a shard: where each record begins."""

from __future__ import annotations

import mmap
import shlex
from array import array

import numpy as np

from reader.files.in_threads import Progress
from shardio.errors import CorruptRecordError, DatasetError
from shardio.format.framing import FRAMING_BYTES, HEADER_BYTES, compression_of, parse_header
from shardio.format.index import ShardIndex
from shardio.storage import FileInfo, storage_for

# What a damaged length claims must not fill the memory.
MAX_RECORD_BYTES = 1 << 30
# One read: so large that a disk reads in sequence.
_READ_BYTES = 1 << 22


def make_index(info: FileInfo, progress: Progress) -> ShardIndex:
    """Read a shard from its start to its end and note where each record begins.

    The CRCs of the lengths are compared; those of the data are when records are read. What is
    longer than a read is jumped over.
    """
    offsets = array("q", [0])
    reader = storage_for(info.path).open_ranges(info.path)
    try:
        block, start = memoryview(b""), 0
        # A map of its own: what an allocator gets back it keeps, for each of the threads.
        buffer = memoryview(mmap.mmap(-1, max(1, min(_READ_BYTES, info.size))))
        while (at := offsets[-1]) < info.size:
            if at + HEADER_BYTES > start + len(block):
                progress(at - start)
                size = min(len(buffer), info.size - at)
                block, start = buffer[: reader.read_into(at, buffer[:size])], at
            offsets.append(_next(info, len(offsets) - 1, at, block[at - start :]))
    finally:
        reader.close()
    progress(info.size - start)
    return ShardIndex.of_offsets(np.frombuffer(offsets, dtype=np.int64))


def _next(info: FileInfo, record: int, at: int, data: memoryview) -> int:
    """Return where the record after the one at `at` begins, which `data` begin with."""
    if len(data) < HEADER_BYTES:
        raise _cut(info, record, at)
    length = parse_header(bytes(data[:HEADER_BYTES]))
    if length is None or length > MAX_RECORD_BYTES:
        raise damaged_length(info.path, record, at, bytes(data[:HEADER_BYTES]))
    end = at + FRAMING_BYTES + length
    if end > info.size:
        raise _cut(info, record, at)
    return end


def _cut(info: FileInfo, record: int, at: int) -> DatasetError:
    return DatasetError(
        f"{info.path} ends at byte {info.size}, within record {record}, which starts at byte {at}: "
        "it was cut"
    )


def damaged_length(path: str, record: int, at: int, header: bytes) -> Exception:
    """Make the error for a record whose first bytes cannot be used."""
    kind = compression_of(header).upper() if at == 0 and len(header) == HEADER_BYTES else ""
    if kind:
        return DatasetError(
            f"{path} is compressed with {kind}, where no record can be read by its number: "
            f"the converter makes a set of it: shardio-convert {shlex.quote(path)} FOLDER"
        )
    length = parse_header(header) if len(header) == HEADER_BYTES else None
    if length is not None:
        return CorruptRecordError(
            f"{path}: record {record} at byte {at}: it is {length:,} bytes long; more than "
            f"{MAX_RECORD_BYTES:,} cannot be read"
        )
    return CorruptRecordError(
        f"{path}: record {record} at byte {at}: its length or the CRC of its length is damaged"
        if at
        else f"{path}: record 0 at byte 0: this is no TFRecord file, or its first length is damaged"
    )
