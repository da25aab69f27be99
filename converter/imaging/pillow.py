"""Pillow: what of it is used here, and what its errors mean."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from shardio.errors import MissingExtraError, OptionError
from shardio.format.encoding import Encoding
from shardio.format.manifest import Versions
from shardio.imaging.bad_image import BadImageError
from shardio.imaging.file_kind import kind_of

try:
    import PIL
    from PIL import Image, features
except ImportError as error:
    raise MissingExtraError(
        "converting images needs pillow-simd: it comes with shardio's extra [convert]"
    ) from error

# All that hold photographs or graphics as pixels (MPO opens as JPEG); not EPS, which would start
# Ghostscript.
_FORMATS = (
    *("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF", "DIB"),
    *("TGA", "PCX", "ICO", "SGI", "XBM", "DDS", "QOI"),
)


def versions() -> Versions:
    """Return the versions of what decodes the images."""
    turbo = features.version("libjpeg_turbo")
    libjpeg = f"libjpeg-turbo {turbo}" if turbo else f"libjpeg {features.version('jpg')}"
    return Versions(PIL.__version__, libjpeg)


def check_encoding(encoding: Encoding) -> None:
    """Raise OptionError where this build of Pillow cannot write an encoding."""
    if encoding.kind == "WEBP" and not features.check("webp"):
        raise OptionError(
            f"{encoding.name} needs Pillow with WebP: install libwebp's headers (Debian's package "
            "libwebp-dev) and then pillow-simd again; png and jpeg:95 need nothing"
        )


def load_formats() -> list[str]:
    """Import Pillow's readers of files, once; returns the formats that are read here.

    Common JPEG and PNG files need none of them.
    """
    Image.init()
    # Pillow looks a format up without asking whether this build of it has that one.
    return [name for name in _FORMATS if name in Image.OPEN]


@contextmanager
def quiet() -> Iterator[None]:
    """Ignore warnings: odd metadata is of no interest, and one for each image hides the rest."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def is_simd() -> bool:
    """Tell pillow-simd from plain Pillow."""
    return ".post" in PIL.__version__


def reject(error: Exception, data: bytes) -> NoReturn:
    """Raise BadImageError for an error of Pillow's about a file."""
    if isinstance(error, PIL.UnidentifiedImageError):
        kind = kind_of(data)
        known = "" if kind is None else f": it is {kind}"
        raise BadImageError(f"not an image that Pillow can read{known}") from error
    reason = " ".join(str(error).split()) or type(error).__name__
    raise BadImageError(f"broken image: {reason}") from error
