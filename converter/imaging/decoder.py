"""The pixels of an image file, decoded as far as a box needs them.

Damage below the box is seen only where every row is decoded.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO

from PIL import Image, ImageFile

from converter.imaging.dds_pixels import load_masked_dds
from converter.imaging.defined_pixels import load_defined
from converter.imaging.frames import holds_several
from converter.imaging.jpeg_header import BLOCK, JpegHeader
from converter.imaging.orientation import UPRIGHT, is_on_its_side, orientation_of, turned
from converter.imaging.pillow import load_formats, quiet
from converter.imaging.png_header import PngHeader
from converter.imaging.png_tile import keep_upper_rows
from shardio.format.transform import APPLY, MAX_PIXELS, Transform
from shardio.imaging.bad_image import BadImageError
from shardio.imaging.claims import check_opened, check_size
from shardio.imaging.colours import check_transparent_colour

Box = tuple[int, int, int, int]
_MAX_SIDE = 1_000_000


@dataclass(frozen=True)
class Decoded:
    """An image, perhaps its upper rows only, and the size and orientation of its file.

    `several` says that the file holds more images than this one.
    """

    image: Image.Image
    size: tuple[int, int]
    orientation: int
    several: bool = False


class Decoder:
    """Decodes image files for a transform; `strict` decodes every row.

    Images of more than `max_pixels` are refused.
    """

    def __init__(
        self, transform: Transform, *, strict: bool = False, max_pixels: int = MAX_PIXELS
    ) -> None:
        self._pad = transform.pad
        self._upright = transform.orientation == APPLY
        self._checks_colour = transform.background is not None or transform.channels == 4
        self._strict = strict
        self._max_pixels = max_pixels

    def decode(self, data: bytes, box: Box | None) -> Decoded:
        """Decode a file as far as `box` needs it.

        Raises BadImageError where the image does not fit, and whatever Pillow raises.
        """
        header = JpegHeader.of(data) or PngHeader.of(data)
        orientation = orientation_of(data, header)
        if header is not None and not self._strict:
            size = header.width, header.height
            rows = self._check(size, box, orientation)
            check_size(data, header.kind, header.width * header.height)
            with suppress(ValueError, OSError):  # what is wrong is for Pillow to say
                if isinstance(header, PngHeader):
                    image = _rows_of_png(data, header, rows)
                else:
                    image = _rows_of_jpeg(data, header, rows)
                return self._turned(image, size, orientation)
        with quiet():
            return self._by_pillow(data, box, orientation)

    def _by_pillow(self, data: bytes, box: Box | None, orientation: int) -> Decoded:
        with self._limited():
            opened = Image.open(BytesIO(data), formats=load_formats())
        size = opened.size
        rows = self._check(size, box, orientation)
        check_opened(data, opened)
        if self._checks_colour:
            check_transparent_colour(opened)
        several = holds_several(opened, data)
        if rows < opened.height and not self._strict:
            keep_upper_rows(opened, data, rows)
        load_masked_dds(opened, data)
        load_defined(opened, data)
        return self._turned(opened, size, orientation, several)

    def decode_truncated(self, data: bytes, box: Box | None) -> Decoded:
        """Decode a file whose end is missing: what it lacks is black, or grey in JPEG."""
        orientation = orientation_of(data, None)
        with quiet(), self._limited(), _truncated_accepted():
            opened = Image.open(BytesIO(data), formats=load_formats())
            size = opened.size
            self._check(size, box, orientation)
            check_opened(data, opened)
            if self._checks_colour:
                check_transparent_colour(opened)
            several = holds_several(opened, data)
            load_masked_dds(opened, data)
            load_defined(opened, data)
        return self._turned(opened, size, orientation, several)

    def _turned(
        self, image: Image.Image, size: tuple[int, int], orientation: int, several: bool = False
    ) -> Decoded:
        if not self._upright:
            return Decoded(image, size, orientation, several)
        if is_on_its_side(orientation):
            size = size[1], size[0]
        return Decoded(turned(image, orientation), size, orientation, several)

    def _check(self, size: tuple[int, int], box: Box | None, orientation: int) -> int:
        """Refuse sizes that do not fit; returns how many rows have to be decoded."""
        width, height = size
        if width < 1 or height < 1:
            raise BadImageError(f"an image of {width}x{height} has no pixels")
        # Pillow refuses very long lines with MemoryError, which here is to mean just that.
        if width * height > self._max_pixels or max(width, height) > _MAX_SIDE:
            raise BadImageError(
                f"{width}x{height} pixels are above the limit of {self._max_pixels}, or "
                f"{_MAX_SIDE} a side; see --max-pixels"
            )
        if box is None:
            return height
        moved = self._upright and orientation != UPRIGHT
        if moved and is_on_its_side(orientation):
            width, height = height, width
        left, top, right, bottom = box
        if not self._pad and (left < 0 or top < 0 or right > width or bottom > height):
            raise BadImageError(
                f"the crop box {','.join(map(str, box))} reaches outside the image of "
                f"{width}x{height}"
            )
        if left >= width or top >= height or right <= 0 or bottom <= 0:
            raise BadImageError(
                f"the crop box {','.join(map(str, box))} has no pixel of the image of "
                f"{width}x{height}"
            )
        return size[1] if moved else min(bottom, height)

    @contextmanager
    def _limited(self) -> Iterator[None]:
        """Have Pillow refuse no image that the limit allows."""
        before = Image.MAX_IMAGE_PIXELS
        if self._max_pixels > MAX_PIXELS:
            Image.MAX_IMAGE_PIXELS = None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


@contextmanager
def _truncated_accepted() -> Iterator[None]:
    before = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


def _rows_of_png(data: bytes, header: PngHeader, rows: int) -> Image.Image:
    """Decode the upper rows of a PNG file; ValueError or OSError where that fails."""
    size = header.width, rows
    if rows < header.height:
        part = header.compressed(data, header.part(len(data), rows))
        with suppress(ValueError):  # it was too short
            return Image.frombytes(header.mode, size, part, "zip", header.mode)
    whole = header.compressed(data, len(data))
    return Image.frombytes(header.mode, size, whole, "zip", header.mode)


def _rows_of_jpeg(data: bytes, header: JpegHeader, bottom: int) -> Image.Image:
    """Decode the upper rows of a JPEG file; ValueError or OSError where that fails."""
    rows = header.rows_for(bottom) if bottom < header.height else header.height

    def decoded(file: bytes, rows: int) -> Image.Image:
        size = header.width, rows
        return Image.frombytes(header.mode, size, file, "jpeg", header.raw_mode, "")

    if rows == header.height:
        return decoded(data, rows)
    part = header.part(data, rows)
    if part is not None:
        image = decoded(part, rows + BLOCK)
        # libjpeg fills up what is missing with grey blocks. Where the last row is anything else
        # the part was long enough; colours of the blocks above are not smoothed as far as that.
        last = image.crop((0, rows + BLOCK - 1, header.width, rows + BLOCK))
        if last.tobytes().strip(b"\x80"):
            return image
    return decoded(header.lowered(data, rows), rows)
