"""Uncompressed DDS files, whose pixels Pillow takes apart one at a time, in Python.

A pixel is a little-endian number of some bytes, and each colour some of its bits, under a mask.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from shardio.imaging.bad_image import BadImageError

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

_PIXELS_AT = 128
_AT_ONCE = 1 << 18


def load_masked_dds(image: ImageFile, data: bytes) -> None:
    """Load an image that was opened from `data`, where it is an uncompressed DDS file."""
    if image.tile and image.tile[0].codec_name == "dds_rgb":
        pixels = _pixels_of(image, data)
        image.load_prepare()
        image.tile = []
        image.frombytes(pixels)


def _pixels_of(image: ImageFile, data: bytes) -> bytes:
    """Return the pixels as Pillow does; BadImageError where the file has fewer."""
    args = image.tile[0].args
    assert isinstance(args, tuple)
    bits, masks = args
    count, width = image.width * image.height, bits // 8
    if width < 1 or _PIXELS_AT + count * width > len(data):
        raise BadImageError("broken image: pixels are missing at its end")
    stored = np.frombuffer(data, np.uint8, count * width, _PIXELS_AT).reshape(count, width)
    pixels = np.zeros((count, len(masks)), np.uint8)
    for first in range(0, count, _AT_ONCE):
        part = stored[first : first + _AT_ONCE]
        values = np.zeros(len(part), np.uint32)
        for byte in range(min(width, 4)):
            values |= part[:, byte].astype(np.uint32) << np.uint32(8 * byte)
        for colour, mask in enumerate(masks):
            if mask:
                lowest = (mask & -mask).bit_length() - 1
                of_one = ((values & np.uint32(mask)) >> np.uint32(lowest)) / (mask >> lowest)
                pixels[first : first + _AT_ONCE, colour] = (of_one * 255).astype(np.uint8)
    return pixels.tobytes()
