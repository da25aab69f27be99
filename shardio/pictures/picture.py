"""Images as arrays: brought to RGB and to a size for people, framed, and written as files.

The only file of the room that imports PIL.
"""

from __future__ import annotations

from functools import cache
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shardio.errors import MissingExtraError

Picture = NDArray[np.uint8]

# Two greys, for what is transparent.
_CHECKS = (np.uint8(205), np.uint8(240))
_CHECK_SIDE = 8


def rgb(image: Picture) -> Picture:
    """Return an image (height, width, 1, 3 or 4) in RGB, a transparent one over grey checks."""
    height, width, channels = image.shape
    if channels == 4:
        y, x = np.mgrid[0:height, 0:width] // _CHECK_SIDE
        ground = np.where((x + y) % 2, *_CHECKS)[..., None].astype(np.uint16)
        alpha = image[..., 3:].astype(np.uint16)
        mixed = (image[..., :3] * alpha + ground * (255 - alpha) + 127) // 255
        return np.asarray(mixed, dtype=np.uint8)
    return np.ascontiguousarray(np.broadcast_to(image, (height, width, 3)))


def scale_for(width: int, height: int, most: int) -> float:
    """Return by how much an image is enlarged or reduced so that no side exceeds `most` pixels.

    Small images become a whole number of times as large, so that their pixels stay square.
    """
    scale = most / max(width, height)
    return float(int(scale)) if scale >= 1 else scale


def scaled(image: Picture, scale: float) -> Picture:
    """Return an RGB image of another size, at least one pixel a side."""
    height, width, _ = image.shape
    if scale >= 1:
        return image.repeat(int(scale), axis=0).repeat(int(scale), axis=1)
    return resized(image, max(1, round(width * scale)), max(1, round(height * scale)))


def resized(image: Picture, width: int, height: int) -> Picture:
    """Return an RGB image of `width` and `height`, each pixel the mean of those that it covers."""
    if image.shape[:2] == (height, width):
        return image
    module = _pillow()
    small = module.fromarray(image).resize((width, height), module.Resampling.BOX)
    return np.array(small, dtype=np.uint8)


def framed(image: Picture, box: tuple[int, int, int, int], colour: tuple[int, int, int]) -> Picture:
    """Return an RGB image with the outline of a box (left, top, right, bottom) drawn just outside.

    A line of white lies around it, so that it is seen on any colour; what lies beyond the image is
    left out.
    """
    height, width, _ = image.shape
    result = image.copy()
    left, top, right, bottom = box
    for reach, paint in ((3, (255, 255, 255)), (2, colour), (1, colour)):
        ring = np.zeros((height, width), dtype=bool)
        outer = _slices(left - reach, top - reach, right + reach, bottom + reach, width, height)
        inner = reach - 1
        ring[outer] = True
        ring[_slices(left - inner, top - inner, right + inner, bottom + inner, width, height)] = 0
        result[ring] = paint
    return result


def _slices(
    left: int, top: int, right: int, bottom: int, width: int, height: int
) -> tuple[slice, slice]:
    rows = slice(min(max(top, 0), height), min(max(bottom, 0), height))
    return rows, slice(min(max(left, 0), width), min(max(right, 0), width))


def png_bytes(image: Picture) -> bytes:
    """Return an RGB image as a PNG file."""
    return _saved(image, "PNG", optimize=True)


def stored_png(image: Picture) -> bytes:
    """Return an image (height, width, 1, 3 or 4) as a PNG file of its mode, soon made."""
    return _saved(image[..., 0] if image.shape[2] == 1 else image, "PNG", compress_level=3)


def jpeg_bytes(image: Picture, quality: int) -> bytes:
    """Return an RGB image as a JPEG file."""
    return _saved(image, "JPEG", quality=quality, optimize=True)


def check_pillow() -> None:
    """Raise MissingExtraError where Pillow is not installed."""
    _pillow()


def _saved(image: Picture, kind: str, **how: Any) -> bytes:
    data = BytesIO()
    _pillow().fromarray(image).save(data, kind, **how)
    return data.getvalue()


@cache
def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingExtraError(
            "pictures are drawn by Pillow: pip install pillow, or shardio's extra [convert]"
        ) from error
    return Image
