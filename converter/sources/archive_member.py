"""A member of an archive, and how a zip's is unpacked."""

from __future__ import annotations

import bz2
import lzma
import struct
import zipfile
import zlib
from dataclasses import dataclass

# A method of our own, that no zip has.
ENCRYPTED = 0xFFFF


@dataclass(frozen=True)
class Member:
    """A member of `size` bytes at byte `offset` of the archive.

    In a zip there is the local header, and behind it `stored` bytes, compressed with `method`;
    `crc` is that of the bytes. A tar's file with holes has `parts`: where they belong in the file
    and how long they are, in the order in which they are stored.
    """

    offset: int
    size: int
    stored: int = 0
    method: int | None = None
    crc: int = 0
    parts: list[tuple[int, int]] | None = None


def unpack(member: Member, data: bytes, start: int) -> bytes:
    """Return the bytes of a zip's member, which begin at `start`; ValueError for damage."""
    packed = memoryview(data)[start : start + member.stored]
    if member.method == zipfile.ZIP_STORED:
        found = bytes(packed)
    elif member.method == zipfile.ZIP_DEFLATED:
        found = zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, member.size + 1)
    elif member.method == zipfile.ZIP_BZIP2:
        found = bz2.BZ2Decompressor().decompress(packed, member.size + 1)
    elif member.method == zipfile.ZIP_LZMA:
        found = _of_lzma(bytes(packed), member.size)
    elif member.method == ENCRYPTED:
        raise ValueError("it is encrypted")
    else:
        raise ValueError(f"compressed with method {member.method}, which is not supported")
    if len(found) != member.size or zlib.crc32(found) != member.crc:
        raise ValueError("its size or CRC-32 is wrong")
    return found


def _of_lzma(packed: bytes, size: int) -> bytes:
    """Decompress what a zip calls LZMA: version, size of properties, properties, stream."""
    _, _, properties, dictionary = struct.unpack_from("<HHBI", packed)
    middle, literal = divmod(properties, 9)
    position, low = divmod(middle, 5)
    filters = [
        {
            "id": lzma.FILTER_LZMA1,
            "dict_size": max(dictionary, 4096),
            "lc": literal,
            "lp": low,
            "pb": position,
        }
    ]
    reader = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=filters)
    return reader.decompress(packed[9:], size)
