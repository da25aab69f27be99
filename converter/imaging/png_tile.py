"""Decoding only the upper rows of a PNG file, where the lower ones are not wanted.

Rows are decoded from the top, so a crop needs no row below its bottom. Done only where the rows
are equal, bit for bit, to those of the whole image: not interlaced, up to 8 bits a sample, not
animated, and every CRC agrees, since the checksum of all pixels is not reached. Pillow is told of
fewer rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from converter.imaging.png_header import chunks_agree

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile


def keep_upper_rows(image: ImageFile, data: bytes, bottom: int) -> None:
    """Keep `bottom` rows of a PNG file that was opened from `data`, and not loaded.

    Nothing happens where that is not possible.
    """
    width, height = image.size
    rows = max(1, bottom)
    if image.format != "PNG" or rows >= height:
        return
    if image.info.get("interlace") or getattr(image, "is_animated", False):
        return
    if len(image.tile) != 1 or "16" in str(image.tile[0].args):
        return
    tile = image.tile[0]
    if not chunks_agree(data):
        return
    if tile.extents == (0, 0, width, height):
        image.tile = [tile._replace(extents=(0, 0, width, rows))]
        image._size = (width, rows)
