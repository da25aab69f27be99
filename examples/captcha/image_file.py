"""The bytes of an image file: JPEG, or PNG with an alpha channel."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image

JPEG_QUALITIES = (85, 95)
"""Lowest and highest quality, on the scale of libjpeg, both included."""
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_FILTER_SUB = 1


def jpeg_bytes(picture: Image.Image, quality: int) -> bytes:
    """Encode the RGB picture as a JPEG file."""
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return file.getvalue()


def png_bytes(picture: Image.Image) -> bytes:
    """Encode the RGB picture as an opaque 8-bit RGBA PNG file.

    Written here because Pillow tries all five row filters on each row, which takes longer
    than everything else about a captcha. One filter throughout and run-length matching
    give files of about the same size in a third of the time.
    """
    pixels = np.asarray(picture.convert("RGBA"))
    height, width, channels = pixels.shape
    flat = pixels.reshape(height, width * channels)
    rows = np.empty((height, 1 + width * channels), np.uint8)
    rows[:, 0] = PNG_FILTER_SUB
    rows[:, 1 : 1 + channels] = flat[:, :channels]
    np.subtract(flat[:, channels:], flat[:, :-channels], out=rows[:, 1 + channels :])
    packer = zlib.compressobj(level=1, memLevel=9, strategy=zlib.Z_RLE)
    data = packer.compress(rows.data) + packer.flush()
    # 8 bits per channel, colour type 6 (RGBA), not interlaced.
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    return (
        PNG_SIGNATURE
        + _png_chunk(b"IHDR", header)
        + _png_chunk(b"IDAT", data)
        + _png_chunk(b"IEND", b"")
    )


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))
