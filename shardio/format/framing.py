"""TFRecord framing: what stands before and after the data of each record.

    uint64  length of the data         little-endian
    uint32  masked CRC32C of the eight bytes above
    bytes   data
    uint32  masked CRC32C of the data

Source: tensorflow/core/lib/io/record_writer.h. The mask keeps a CRC that is stored inside
checksummed data from weakening the outer checksum.
"""

import struct
import zlib

import crc32c as _crc32c
import numpy as np
from numpy.typing import NDArray

HEADER_BYTES = 12
FOOTER_BYTES = 4
FRAMING_BYTES = HEADER_BYTES + FOOTER_BYTES

_MASK_DELTA = 0xA282EAD8


def mask_crc(crc: int) -> int:
    """Mask a CRC32C as TFRecord stores it."""
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xFFFFFFFF


def mask_crcs(crcs: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Mask many CRC32Cs."""
    return np.asarray(((crcs >> 15) | (crcs << 17)) + np.uint32(_MASK_DELTA), dtype=np.uint32)


def masked_crc(data: bytes | bytearray | memoryview) -> int:
    """Return the masked CRC32C of `data`."""
    return mask_crc(_crc32c.crc32c(data))


def frame_header(length: int) -> bytes:
    """Return the 12 bytes that stand before `length` bytes of data."""
    head = struct.pack("<Q", length)
    return head + struct.pack("<I", masked_crc(head))


def frame_footer(data: bytes | bytearray | memoryview) -> bytes:
    """Return the 4 bytes that stand after `data`."""
    return struct.pack("<I", masked_crc(data))


def parse_header(header: bytes) -> int | None:
    """Return the length in a record's first 12 bytes, or None where its CRC does not match."""
    length, crc = struct.unpack("<QI", header)
    return int(length) if masked_crc(header[:8]) == crc else None


def compression_of(start: bytes) -> str:
    """Return how a file is compressed that begins so and not with a record; "" if it is not."""
    if start.startswith(b"\x1f\x8b"):
        return "gzip"
    try:
        zlib.decompressobj().decompress(start)
    except zlib.error:
        return ""
    return "zlib" if start else ""
