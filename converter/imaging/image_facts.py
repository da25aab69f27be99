"""What an image is before anything is done to it: its size, its mode, which way it is turned."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from io import BytesIO

from PIL import Image

from converter.imaging.jpeg_header import JpegHeader
from converter.imaging.orientation import is_on_its_side, orientation_of
from converter.imaging.pillow import load_formats, reject
from converter.imaging.png_header import PngHeader
from shardio.imaging.bad_image import BadImageError
from shardio.imaging.claims import check_opened, check_size


@dataclass(frozen=True)
class ImageFacts:
    """Width and height as stored, the mode as Pillow names it, the EXIF orientation, 1 to 8."""

    size: tuple[int, int]
    mode: str
    orientation: int = 1

    @property
    def upright_size(self) -> tuple[int, int]:
        """Width and height once the orientation is applied."""
        width, height = self.size
        return (height, width) if is_on_its_side(self.orientation) else self.size


def facts_of(data: bytes) -> ImageFacts:
    """Read the header of an image file; BadImageError with the reason where it has none."""
    if not data:
        raise BadImageError("the file is empty")
    header = JpegHeader.of(data) or PngHeader.of(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            orientation = orientation_of(data, header)
            if header is not None:
                check_size(data, header.kind, header.width * header.height)
                return ImageFacts((header.width, header.height), header.mode, orientation)
            image = Image.open(BytesIO(data), formats=load_formats())
            check_opened(data, image)
            return ImageFacts(image.size, image.mode, orientation)
        except (BadImageError, MemoryError):
            raise
        # Plugins raise nearly anything on hostile bytes.
        except Exception as error:
            reject(error, data)
