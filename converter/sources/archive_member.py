"""A member of an archive, and how a zip's is unpacked."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass

try:
    from isal.isal_zlib import crc32  # the same as zlib's, in a tenth of the time
except ImportError:  # there is none for this processor
    from zlib import crc32

# Methods of our own, that no zip has: of a tar's member, which is stored as it is, and of those
# that are not read.
PLAIN, ENCRYPTED, LINK, SPARSE = 0xFFFF, 0xFFFE, 0xFFFD, 0xFFFC
_READ = (PLAIN, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_UNREAD = {
    ENCRYPTED: "it is encrypted",
    LINK: "it is a link; name the member that it leads to",
    SPARSE: "it is stored with holes; make the archive without --sparse",
    zipfile.ZIP_BZIP2: "it is compressed with bzip2; only stored and deflated members are read",
    zipfile.ZIP_LZMA: "it is compressed with LZMA; only stored and deflated members are read",
}


@dataclass(frozen=True)
class Member:
    """A member of `size` bytes at byte `offset` of the archive.

    In a zip there is the local header, and behind it `stored` bytes, compressed with `method`;
    `crc` is that of the bytes.
    """

    offset: int
    size: int
    method: int
    stored: int = 0
    crc: int = 0

    def why_unread(self) -> str | None:
        """Say why it cannot be read; None where it can."""
        if self.method in _READ:
            return None
        return _UNREAD.get(self.method, f"it is compressed with method {self.method} of zip")


def unpack(member: Member, packed: memoryview) -> bytes:
    """Return the bytes of a zip's member; raises ValueError or zlib.error for damage."""
    if member.method == zipfile.ZIP_STORED:
        found = bytes(packed)
    else:
        found = zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, member.size + 1)
    if len(found) != member.size or crc32(found) != member.crc:
        raise ValueError("its size or CRC-32 is wrong")
    return found
