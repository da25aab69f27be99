"""The header of a common PNG file, read without Pillow, so that a part of it can be decoded.

Common is: 8 bits, grey or colours with or without alpha, not interlaced, not animated, and nothing
before the pixels that would change what they are. All other files are Pillow's, and so are those
whose header is damaged.

Rows are decoded from the top, so a crop needs no row below its bottom, nor the bytes behind it.
The checksum behind all pixels, which is the only one that Pillow looks at, is not reached then. So
the CRCs of the chunks that pixels come from are compared; where one does not agree the file is
Pillow's as well.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import ClassVar

try:
    from isal.isal_zlib import crc32  # the same as zlib's, in a tenth of the time
except ImportError:  # there is none for this processor
    from zlib import crc32

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MODES = {0: "L", 2: "RGB", 6: "RGBA"}
# Chunks that say nothing of the pixels as they are stored, with the sizes that Pillow takes.
_IGNORED = {
    b"gAMA": range(4, 5),
    b"cHRM": range(32, 33),
    b"sRGB": range(1, 2),
    b"pHYs": range(9, 10),
    b"tIME": range(7, 8),
    b"tEXt": range(1, 1 << 20),
    b"sBIT": range(1, 5),
    b"bKGD": range(1, 7),
}
_PROFILE = b"Raw profile type"
_FRAME = 12  # length, kind and CRC of a chunk
_HEADER = struct.Struct(">IIBBBBB")
# What is given of the file first: so many times the part that the rows have in the height, and
# so many bytes.
_PART, _MORE = 1.5, 4096


@dataclass(frozen=True)
class PngHeader:
    """Size and mode, and where the first chunk of pixels begins."""

    kind: ClassVar[str] = "PNG"

    width: int
    height: int
    mode: str
    pixels_at: int

    @classmethod
    def of(cls, data: bytes) -> PngHeader | None:
        """Read the header of a file, None where it is not of the common kind."""
        if not data.startswith(_SIGNATURE):
            return None
        at = len(_SIGNATURE)
        fields: tuple[int, ...] = ()
        while at + _FRAME <= len(data):
            size = int.from_bytes(data[at : at + 4], "big")
            kind = data[at + 4 : at + 8]
            if kind == b"IDAT":
                return cls._of_fields(fields, at)
            end = at + _FRAME + size
            if not _agrees(data, at, size):
                return None
            if kind == b"IHDR" and size == _HEADER.size and not fields:
                fields = _HEADER.unpack_from(data, at + 8)
            elif not fields or size not in _IGNORED.get(kind, ()):
                return None
            elif kind == b"tEXt" and data[at + 8 : at + 9].islower():
                return None  # Pillow takes some keywords for its own, which begin like this
            at = end
        return None

    @classmethod
    def _of_fields(cls, fields: tuple[int, ...], at: int) -> PngHeader | None:
        if not fields:
            return None
        width, height, bits, colours, *methods = fields
        mode = _MODES.get(colours)
        if mode is None or bits != 8 or any(methods) or not width or not height:
            return None
        return cls(width, height, mode, at)

    def compressed(self, data: bytes, max_bytes: int) -> bytes:
        """Return the compressed pixels, at least `max_bytes` of them if there are as many.

        ValueError where a CRC does not agree with a chunk that they come from.
        """
        parts = []
        have = 0
        at = self.pixels_at
        while have < max_bytes and data[at + 4 : at + 8] == b"IDAT":
            size = int.from_bytes(data[at : at + 4], "big")
            if not _agrees(data, at, size):
                raise ValueError("a chunk of pixels is damaged")
            part = data[at + 8 : at + 8 + min(size, max_bytes - have)]
            parts.append(part)
            have += len(part)
            at += _FRAME + size
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def may_be_turned(self, data: bytes) -> bool:
        """Whether there is something that could say how the image is turned."""
        if _PROFILE in data[: self.pixels_at]:
            return True
        at = self.pixels_at
        while data[at + 4 : at + 8] == b"IDAT":
            at += _FRAME + int.from_bytes(data[at : at + 4], "big")
        return data[at + 4 : at + 8] not in (b"IEND", b"")

    def part(self, size: int, rows: int) -> int:
        """Return how many bytes of a file of `size` bytes should be enough for so many rows."""
        return int(_PART * size * rows / self.height) + _MORE


def chunks_agree(data: bytes) -> bool:
    """Tell whether every chunk of a PNG file, up to its end, has the CRC that it should have."""
    at = len(_SIGNATURE)
    while at + _FRAME <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if not _agrees(data, at, size):
            return False
        if data[at + 4 : at + 8] == b"IEND":
            return True
        at += _FRAME + size
    return False


def _agrees(data: bytes, at: int, size: int) -> bool:
    """Whether the CRC of the chunk that begins at `at` is the one that stands behind it."""
    end = at + _FRAME + size
    # A view: large chunks are not copied for this.
    found = crc32(memoryview(data)[at + 4 : end - 4])
    return found == int.from_bytes(data[end - 4 : end], "big")
