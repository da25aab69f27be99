"""Encoded images: PNG, JPEG or WebP to pixels. The only file of the reader that imports PIL.

The pixels are those of `np.asarray(Image.open(file).convert("RGB"))`, but for 16-bit grey, of which
the high byte is kept. EXIF orientation is not applied.
"""

from __future__ import annotations

from functools import cache
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shardio.errors import FormatError, MissingExtraError

_FORMATS = ("PNG", "JPEG", "WEBP")


def is_encoded(data: bytes | memoryview) -> bool:
    """Whether data begin as a PNG, JPEG or WebP file does."""
    start = bytes(data[:12])
    return (
        start.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"))
        or start[:4] + start[8:] == b"RIFFWEBP"
    )


def image_shape(data: bytes | memoryview) -> tuple[int, int, int]:
    """Return (height, width, 3) of an encoded image; FormatError where it is none."""
    width, height = _open(data).size
    return height, width, 3


def decode(data: bytes | memoryview, out: NDArray[np.uint8]) -> None:
    """Decode an image into `out`, (height, width, 3).

    Raises FormatError where it cannot be decoded, or is of another size.
    """
    image = _open(data)
    width, height = image.size
    if (height, width) != out.shape[:2]:
        raise FormatError(
            f"its image is {height}x{width}, but those of the set are "
            f"{out.shape[0]}x{out.shape[1]} (height x width)"
        )
    try:
        if image.mode.startswith("I;16") or image.mode == "I":
            out[:] = (np.asarray(image) >> 8).astype(np.uint8)[:, :, None]
        else:
            out[:] = np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
    except MemoryError:
        raise
    # Pillow's plugins raise nearly anything on damaged bytes, and these are in memory.
    except Exception as error:
        raise FormatError(f"its image cannot be decoded: {error}") from error


def _open(data: bytes | memoryview) -> Any:
    image, formats = _pillow()
    try:
        return image.open(BytesIO(data), formats=formats)
    except image.UnidentifiedImageError as error:
        raise FormatError(f"its image is none of {', '.join(formats)}") from error
    except MemoryError:
        raise
    except Exception as error:
        raise FormatError(f"its image cannot be decoded: {error}") from error


@cache
def _pillow() -> tuple[Any, list[str]]:
    """Return Pillow's module for images and the formats that this build of it has."""
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingExtraError(
            "these shards hold encoded images, which Pillow decodes: pip install pillow, or "
            "shardio's extra [convert]"
        ) from error
    # Pillow looks a format up without asking whether this build of it has that one.
    Image.init()
    return Image, [name for name in _FORMATS if name in Image.OPEN]
