"""Encoded images: PNG, JPEG or WebP to pixels. The only file of the reader that imports PIL.

The pixels are those of `np.asarray(Image.open(file).convert("RGB"))`, or "L" or "RGBA" for sets of
1 or 4 channels, but for 16-bit grey, of which the high byte is kept. EXIF orientation is not
applied.
"""

from __future__ import annotations

from functools import cache
from io import BytesIO
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from reader.foreign.image_claim import check_claim
from shardio.errors import FormatError, MissingExtraError, UnsupportedRecordError
from shardio.format.transform import MODES

# What is done to images of other sizes: the whole of each is resized, or its centre.
Fit = Literal["whole", "center"]

_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
# How files of other kinds begin, or what stands at byte 4.
_OTHERS = {
    b"II*\0": "a TIFF",
    b"MM\0*": "a TIFF",
    b"\0\0\0\x0cjP  ": "a JPEG 2000",
    b"\0\0\0\x0cJXL ": "a JPEG XL",
    b"\xff\x0a": "a JPEG XL",
}
_BRANDS = {b"ftypavif": "an AVIF", b"ftyphei": "a HEIF", b"ftypmif": "a HEIF"}


def is_encoded(data: bytes | memoryview) -> bool:
    """Whether data begin as a PNG, JPEG, WebP, GIF or BMP file does."""
    start = bytes(data[:12])
    if start.startswith(b"BM"):  # and says how long it is: pixels may begin so, too
        return int.from_bytes(data[2:6], "little") == len(data)
    return (
        start.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a"))
        or start[:4] + start[8:] == b"RIFFWEBP"
    )


def other_kind(data: bytes | memoryview) -> str:
    """Return what kind of image file data begin as, if it is one that is not read, or nothing."""
    start = bytes(data[:12])
    for offset, kinds in ((0, _OTHERS), (4, _BRANDS)):
        for signature, kind in kinds.items():
            if start.startswith(signature, offset):
                return f"{kind} file"
    return ""


def image_shape(data: bytes | memoryview) -> tuple[int, int, int]:
    """Return (height, width, 3) of an encoded image, as its header claims.

    Raises as `decode`.
    """
    width, height = _open(data).size
    return height, width, 3


def decode(data: bytes | memoryview, out: NDArray[np.uint8], fit: Fit | None = None) -> None:
    """Decode an image into `out`, (height, width, channels); `fit` resizes what is of another size.

    Raises FormatError where it cannot be decoded, and UnsupportedRecordError where it is of another
    size or kind.
    """
    image = _open(data)
    width, height = image.size
    if (height, width) != out.shape[:2] and fit is None:
        raise UnsupportedRecordError(
            f"its image is {height}x{width}, but those of the set are "
            f"{out.shape[0]}x{out.shape[1]} (height x width), and images of several sizes are not "
            "read together; give open_shards size=(height, width), or make a set of them with "
            "shardio-convert"
        )
    mode = MODES[out.shape[2]]
    try:
        if image.mode.startswith("I;16") or image.mode == "I":
            grey = (np.asarray(image) >> 8).astype(np.uint8)
            image = _pillow()[0].fromarray(grey)
        image = image if image.mode == mode else image.convert(mode)
        if (height, width) != out.shape[:2]:
            image = _resized(image, out.shape[1], out.shape[0], fit)
        pixels = np.asarray(image)
        out[:] = pixels.reshape(out.shape)
    except MemoryError:
        raise
    # Pillow's plugins raise nearly anything on damaged bytes, and these are in memory.
    except Exception as error:
        raise FormatError(f"its image cannot be decoded: {error}") from error


def _resized(image: Any, width: int, height: int, fit: Fit | None) -> Any:
    pillow, _ = _pillow()
    if fit != "center":
        return image.resize((width, height), pillow.Resampling.BICUBIC)
    from PIL import ImageOps

    return ImageOps.fit(image, (width, height), pillow.Resampling.BICUBIC)


def _open(data: bytes | memoryview) -> Any:
    image, formats = _pillow()
    try:
        opened = image.open(BytesIO(data), formats=formats)
    except image.UnidentifiedImageError as error:
        kind, words = other_kind(data), f"its image is none of {', '.join(formats)}"
        if kind:
            raise UnsupportedRecordError(f"{words}, but {kind}") from error
        raise FormatError(words) from error
    except image.DecompressionBombError as error:
        raise UnsupportedRecordError(f"its image is too large to be decoded: {error}") from error
    except MemoryError:
        raise
    except Exception as error:
        raise FormatError(f"its image cannot be decoded: {error}") from error
    width, height = opened.size
    check_claim(opened.format, width, height, len(data))
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
