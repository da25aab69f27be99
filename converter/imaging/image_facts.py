"""What an image is before anything is done to it: its size, its mode, which way it is turned."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from io import BytesIO

from PIL import ExifTags, Image

from converter.imaging.bad_image import BadImageError
from converter.imaging.claims import check_opened, check_size
from converter.imaging.jpeg_header import JpegHeader
from converter.imaging.png_header import PngHeader
from converter.imaging.transformer import load_formats, reject

# Beside an orientation there is one of these names in the file.
_ORIENTED = (b"Exif", b"eXIf", b"tiff:Orientation")
# Pillow turns these by itself.
_TURNED_BY_PILLOW = ("TIFF", "AVIF")


@dataclass(frozen=True)
class ImageFacts:
    """Width and height, the mode as Pillow names it, and the EXIF orientation: 1 is upright."""

    size: tuple[int, int]
    mode: str
    orientation: int = 1


def facts_of(data: bytes) -> ImageFacts:
    """Read the header of an image file; BadImageError with the reason where it has none."""
    if not data:
        raise BadImageError("the file is empty")
    header = JpegHeader.of(data) or PngHeader.of(data)
    if header is not None and not any(name in data for name in _ORIENTED):
        check_size(data, header.kind, header.width * header.height)
        return ImageFacts((header.width, header.height), header.mode)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image = Image.open(BytesIO(data), formats=load_formats())
            check_opened(data, image)
            return ImageFacts(image.size, image.mode, _orientation_of(image))
        except (BadImageError, MemoryError):
            raise
        # Plugins raise nearly anything on hostile bytes.
        except Exception as error:
            reject(error)


def _orientation_of(image: Image.Image) -> int:
    if image.format in _TURNED_BY_PILLOW:
        return 1
    found = image.getexif().get(ExifTags.Base.Orientation, 1)
    return found if found in range(2, 9) else 1
