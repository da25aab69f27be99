"""Decoding only the upper rows of an image, where the lower ones are not wanted.

Rows are decoded from the top, so a crop needs no row below its bottom. Done only for the common
kinds, where the rows are equal, bit for bit, to those of the whole image:

- JPEG: baseline or extended sequential, 8 bits, one scan. The height in the frame's header is
  lowered. libjpeg smooths colours over the rows next to each other, so one or two more are decoded.
- PNG: not interlaced, up to 8 bits a sample, not animated. Pillow is told of fewer rows.
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

# Where colours have half the rows, an odd row is made from its own colour row and the next one: it
# must not be the last that there is, which libjpeg would repeat. Where they have a third or a
# quarter, they are not smoothed.
_MARGIN = 2
# Rows that are decoded together anyway, in the commonest files.
_BLOCK = 16
_START_OF_IMAGE = b"\xff\xd8"
_SEQUENTIAL = (0xC0, 0xC1)
_START_OF_SCAN = 0xDA
# Tables, application data, comments and the restart interval: what may stand before the scan.
_PLAIN = frozenset({0xC4, 0xDB, 0xDD, 0xFE, *range(0xE0, 0xF0)})


def keep_upper_rows(image: ImageFile, data: bytes, bottom: int) -> None:
    """Let an image that was opened from `data`, and not loaded, have about `bottom` rows.

    Nothing happens where that is not possible.
    """
    width, height = image.size
    bottom = max(1, bottom)
    if image.format == "JPEG":
        rows = -(-(bottom + _MARGIN) // _BLOCK) * _BLOCK
        at = _height_of_jpeg(data, width, height) if rows < height else None
        if at is None:
            return
        image.fp = _Replaced(data, at, rows.to_bytes(2, "big"))
    elif image.format == "PNG":
        rows = bottom
        if rows >= height or image.info.get("interlace") or getattr(image, "is_animated", False):
            return
        if len(image.tile) != 1 or "16" in str(image.tile[0].args):
            return
    else:
        return
    tile = image.tile[0]
    if tile.extents == (0, 0, width, height):
        image.tile = [tile._replace(extents=(0, 0, width, rows))]
        image._size = (width, rows)


class _Replaced(BytesIO):
    """A file with other bytes at one place; what is not read is not copied."""

    def __init__(self, data: bytes, at: int, new: bytes) -> None:
        super().__init__(data)
        self._at = at
        self._new = new

    def read(self, size: int | None = -1, /) -> bytes:
        """Read at most `size` bytes."""
        start = self._at - self.tell()
        piece = super().read(size)
        if start >= len(piece) or start + len(self._new) <= 0:
            return piece
        changed = bytearray(piece)
        for place, byte in enumerate(self._new, start):
            if 0 <= place < len(piece):
                changed[place] = byte
        return bytes(changed)


def _height_of_jpeg(data: bytes, width: int, height: int) -> int | None:
    """Return where the height stands, None where the file is not of the common kind."""
    if not data.startswith(_START_OF_IMAGE):
        return None
    found = None
    components = 0
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        size = int.from_bytes(data[at + 2 : at + 4], "big")
        body = at + 4
        if size < 2 or at + 2 + size > len(data):
            return None
        if marker == _START_OF_SCAN:
            # A scan of its own for each colour is read in another way.
            return found if found and data[body] == components else None
        if marker in _SEQUENTIAL:
            said = (height.to_bytes(2, "big"), width.to_bytes(2, "big"))
            if found or size < 8 or data[body] != 8 or data[body + 1 : body + 5] != b"".join(said):
                return None
            found = body + 1
            components = data[body + 5]
        elif marker not in _PLAIN:
            return None
        at += 2 + size
    return None
