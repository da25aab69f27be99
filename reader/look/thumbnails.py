"""Images in a page: small, each within its part of the page's size."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reader.look.records import Records
from reader.shardset import ShardSet
from shardio.pictures.picture import jpeg_bytes, png_bytes, rgb, scale_for, scaled

# Longer side in pixels, and bytes of a file; a page has some 700 images, and 4 MB for them.
_SIDE = 128
_MOST_BYTES = 4000
_QUALITIES = (85, 70, 50, 30)


@dataclass(frozen=True)
class Thumbnail:
    """An image as a data URL, its size on the page, and the numbers of its record."""

    url: str
    width: int
    height: int
    numbers: NDArray[np.int64]


def thumbnails(shards: ShardSet, ids: NDArray[np.int64]) -> dict[int, Thumbnail]:
    """Read records and make their thumbnails, by number."""
    found = {}
    records = Records(shards)
    try:
        for part, images, numbers in records.pieces(np.unique(ids)):
            for number, image, of_record in zip(part.tolist(), images, numbers, strict=True):
                found[number] = thumbnail(image, of_record.copy())
    finally:
        records.close()
    return found


def thumbnail(
    image: NDArray[np.uint8], numbers: NDArray[np.int64], *, most_bytes: int = _MOST_BYTES
) -> Thumbnail:
    """Make the thumbnail of an image (height, width, channels), a file of so many bytes at most."""
    height, width, _ = image.shape
    scale = scale_for(width, height, _SIDE)
    small = scaled(rgb(image), min(1.0, scale))
    return Thumbnail(
        _url(small, most_bytes),
        max(1, round(width * scale)),
        max(1, round(height * scale)),
        numbers,
    )


def _url(image: NDArray[np.uint8], most_bytes: int) -> str:
    data, kind = png_bytes(image), "png"
    # PNG suits drawings, and images of few pixels.
    while len(data) > most_bytes:
        for quality in _QUALITIES:
            data, kind = jpeg_bytes(image, quality), "jpeg"
            if len(data) <= most_bytes:
                break
        else:
            image = scaled(image, 0.7)
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
