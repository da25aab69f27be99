"""Encoded images: PNG, JPEG or WebP to pixels. The only file of the reader that imports PIL.

The pixels are those that the converter makes of the same file, with the same functions: images
become L, RGB or RGBA before they are resized, but for RGBA, which loses its alpha after that. Of
16-bit grey the high byte is kept. EXIF orientation is not applied.
"""

from __future__ import annotations

from contextlib import nullcontext
from functools import cache
from io import BytesIO
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from reader.foreign.source_memory import SourceMemory
from shardio.errors import FormatError, MissingExtraError, UnsupportedRecordError
from shardio.format.transform import MAX_PIXELS, MODES
from shardio.imaging.bad_image import BadImageError
from shardio.imaging.centre import centre_of
from shardio.imaging.claims import can_hold
from shardio.imaging.colours import check_transparent_colour, to_colours
from shardio.imaging.file_kind import other_image

# What is done to images of other sizes: the whole of each is resized, or its centre.
Fit = Literal["whole", "center"]

_MAX_SIDE = 1_000_000
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")


def image_shape(data: bytes | memoryview) -> tuple[int, int, int]:
    """Return (height, width, 3) of an encoded image, as its header claims.

    Raises as `decode`.
    """
    width, height = _open(data).size
    return height, width, 3


def decode(
    data: bytes | memoryview,
    out: NDArray[np.uint8],
    fit: Fit | None = None,
    memory: SourceMemory | None = None,
) -> None:
    """Decode an image into `out`, (height, width, channels); `fit` resizes what is of another size.

    `memory` bounds what those of other sizes take that are decoded at once.

    Raises FormatError where it cannot be decoded, and UnsupportedRecordError where it is of another
    size or kind.
    """
    image = _open(data)
    width, height = image.size
    if (height, width) != out.shape[:2] and fit is None:
        raise UnsupportedRecordError(
            f"its image is {height}x{width}, but those of the set are "
            f"{out.shape[0]}x{out.shape[1]} (height x width), and images of several sizes are not "
            "read together; give open_shards size=(height, width), or --size HxW on the command "
            "line, or make a set of them with shardio-convert"
        )
    with nullcontext() if memory is None else memory.held(width * height):
        _decode(image, out, fit)


def _decode(image: Any, out: NDArray[np.uint8], fit: Fit | None) -> None:
    mode = MODES[out.shape[2]]
    try:
        if mode == "RGBA":
            check_transparent_colour(image)
        image = to_colours(image, None, mode)
        if fit is not None:
            image = _resized(image, (out.shape[1], out.shape[0]), fit)
        pixels = np.asarray(image)
        out[:] = pixels.reshape(*out.shape[:2], -1)[..., : out.shape[2]]
    except MemoryError:
        raise
    except BadImageError as error:
        raise UnsupportedRecordError(f"its image cannot be read: {error}") from error
    # Pillow's plugins raise nearly anything on damaged bytes, and these are in memory.
    except Exception as error:
        raise FormatError(f"its image cannot be decoded: {error}") from error


def _resized(image: Any, size: tuple[int, int], fit: Fit) -> Any:
    bicubic = _pillow()[0].Resampling.BICUBIC
    return centre_of(image, size, size, bicubic) if fit == "center" else image.resize(size, bicubic)


def _open(data: bytes | memoryview) -> Any:
    image, formats = _pillow()
    try:
        opened = image.open(BytesIO(data), formats=formats)
    except image.UnidentifiedImageError as error:
        kind, words = other_image(data), f"its image is none of {', '.join(formats)}"
        if kind:
            raise UnsupportedRecordError(f"{words}, but {kind}") from error
        raise FormatError(words) from error
    except (image.DecompressionBombError, image.DecompressionBombWarning) as error:
        raise UnsupportedRecordError(f"its image is too large to be decoded: {error}") from error
    except MemoryError:
        raise
    except Exception as error:
        raise FormatError(f"its image cannot be decoded: {error}") from error
    width, height = opened.size
    if width * height > MAX_PIXELS or max(width, height) > _MAX_SIDE:
        raise UnsupportedRecordError(
            f"its image has {width}x{height} pixels, and more than {MAX_PIXELS:,}, or "
            f"{_MAX_SIDE:,} a side, are not read; shardio-convert takes it with --max-pixels"
        )
    if not can_hold(opened.format, width, height, len(data)):
        raise FormatError(
            f"its image claims {width}x{height} pixels, more than {len(data):,} bytes of "
            f"{opened.format} can hold"
        )
    return opened


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
