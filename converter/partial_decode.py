"""Decoding only the upper rows of an image, where the lower ones are not wanted.

Rows are decoded from the top, so a crop needs no row below its bottom. Done only for the common
kinds, where the rows are equal, bit for bit, to those of the whole image:

- JPEG: baseline or extended sequential, 8 bits, one scan. The height in the frame's header is
  lowered. libjpeg smooths colours over the rows next to each other, so some more are decoded.
- PNG: not interlaced, up to 8 bits a sample, not animated. Pillow is told of fewer rows.
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

# More than the rows of other blocks that any row of a JPEG is made from.
_MARGIN = 16
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
        lowered = bytearray(data)
        lowered[at : at + 2] = rows.to_bytes(2, "big")
        image.fp = BytesIO(lowered)
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
