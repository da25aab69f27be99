"""One image: decode, crop, resize. The only file of the converter that imports PIL.

The pixels equal, bit for bit and with the same Pillow,

    np.array(Image.open(path).crop(box).resize(size))[..., :3]

for RGB and RGBA images. Others become RGB first (see colours). With 1 or 4 channels all become L or
RGBA first. EXIF orientation is not applied.
"""

from __future__ import annotations

import time
import warnings
from contextlib import suppress
from io import BytesIO
from typing import NoReturn

from converter.imaging.bad_image import BadImageError
from converter.imaging.claims import check_opened, check_size
from converter.imaging.colours import (
    check_transparent_colour,
    is_transparent,
    may_be_transparent,
    on_background,
    to_colours,
)
from converter.imaging.dds_pixels import load_masked_dds
from converter.imaging.defined_pixels import load_defined
from converter.imaging.image_counts import ImageCounts, ImageTimes
from converter.imaging.jpeg_header import BLOCK, JpegHeader
from converter.imaging.png_header import PngHeader
from converter.imaging.png_tile import keep_upper_rows
from shardio.errors import MissingExtraError, OptionError
from shardio.format.encoding import Encoding
from shardio.format.manifest import Versions
from shardio.format.transform import MAX_PIXELS, MODES, NO_RESAMPLING, Transform

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

_MAX_SIDE = 1_000_000


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


def is_simd() -> bool:
    """Tell pillow-simd from plain Pillow."""
    return ".post" in PIL.__version__


class ImageTransformer:
    """Turns the bytes of image files into pixels; keeps the time that it took, and counts."""

    def __init__(self, transform: Transform, *, strict: bool = False) -> None:
        """Damage below the crop box is seen only with `strict`, which decodes every row."""
        self._strict = strict
        self.times = ImageTimes()
        self.counts = ImageCounts()
        self._transform = transform
        self._mode = MODES[transform.channels]
        height, width, _ = transform.shape
        self._size = width, height
        none = transform.resample == NO_RESAMPLING
        self._resample = None if none else Image.Resampling[transform.resample.upper()]

    def pixels(self, data: bytes) -> bytes:
        """Return height x width x channels bytes, row-major; BadImageError with the reason."""
        if not data:
            raise BadImageError("the file is empty")
        with warnings.catch_warnings():
            # Odd metadata is of no interest here, and a warning for each image hides the rest.
            warnings.simplefilter("ignore")
            try:
                start = time.perf_counter()
                image = self._decode(data)
                decoded = time.perf_counter()
                self.times.decoding += decoded - start
                # The decoded image stays until the end: freed memory would be given back to the
                # kernel, and asked for again.
                cut, transparent = self._cut_out(image)
                packed = self._resize(cut)
                self.times.resizing += time.perf_counter() - decoded
            except (BadImageError, MemoryError):
                raise
            # Pillow's plugins raise nearly anything on hostile bytes: SyntaxError, struct.error,
            # KeyError, ... The bytes are in memory, so none of it comes from the storage.
            except Exception as error:
                reject(error)
        self.counts.transparent += transparent
        self.counts.one_colour += _is_one_colour(packed, self._transform.channels)
        return packed

    def encode(self, pixels: bytes, encoding: Encoding) -> bytes:
        """Return an image file of the pixels, in the way in which Pillow writes one by default."""
        start = time.perf_counter()
        image = Image.frombytes(self._mode, self._size, pixels)
        data = BytesIO()
        if encoding.kind == "WEBP":
            lossless = encoding.quality is None
            # Pillow's default would change the colours of transparent pixels.
            how = {"lossless": lossless, "exact": lossless, "quality": encoding.quality or 80}
            image.save(data, "WEBP", **how)
        elif encoding.quality is not None:
            image.save(data, encoding.kind, quality=encoding.quality)
        else:
            image.save(data, encoding.kind)
        self.times.encoding += time.perf_counter() - start
        return data.getvalue()

    def _decode(self, data: bytes) -> Image.Image:
        crop = self._transform.crop
        header = None if self._strict else JpegHeader.of(data) or PngHeader.of(data)
        if header is not None:
            self._check(header.width, header.height)
            check_size(data, header.kind, header.width * header.height)
            bottom = header.height if crop is None else max(1, min(crop[3], header.height))
            with suppress(ValueError, OSError):  # what is wrong is for Pillow to say
                if isinstance(header, PngHeader):
                    return _rows_of_png(data, header, bottom)
                return _rows_of_jpeg(data, header, bottom)
        image = Image.open(BytesIO(data), formats=load_formats())
        self._check(*image.size)
        check_opened(data, image)
        if self._transform.background is not None or self._mode == "RGBA":
            check_transparent_colour(image)
        if crop is not None and not self._strict:
            keep_upper_rows(image, data, crop[3])
        load_masked_dds(image, data)
        load_defined(image, data)
        return image

    def _cut_out(self, image: Image.Image) -> tuple[Image.Image, bool]:
        """Return the box in its colours, and whether transparent parts of it lose their alpha."""
        box = self._transform.crop
        alpha = may_be_transparent(image) and self._mode != "RGBA"
        if alpha and self._transform.background is not None:
            image, alpha = on_background(image, self._transform.background), False
        # What is filled up is transparent as well; of common images less is looked at afterwards.
        before = alpha and (self._transform.pad or image.mode != "RGBA" or self._mode == "L")
        transparent = before and is_transparent(image, box)
        image = to_colours(image, self._transform.value_range, self._mode)
        image = image if box is None else image.crop(box)
        return image, transparent or (alpha and not before and is_transparent(image))

    def _resize(self, image: Image.Image) -> bytes:
        # RGBA is resized with its alpha, as the reference does; packing drops it afterwards.
        if self._transform.shorter is not None:
            image = self._centre(image, self._transform.shorter)
        elif self._resample is not None:
            image = image.resize(self._size, self._resample)
        elif image.size != self._size:
            size = "{}x{}".format(*self._size)
            raise BadImageError(
                f"{image.width}x{image.height} pixels, not {size} as the sample or --size has, and "
                f"nothing is resized; --size {size} alone resizes it"
            )
        return image.tobytes("raw", self._mode)

    def _centre(self, image: Image.Image, shorter: int) -> Image.Image:
        """Resize to a shorter side and cut out the centre, rounding as torchvision does."""
        width, height = image.size
        if max(width, height) * shorter // min(width, height) > _MAX_SIDE:
            raise BadImageError(f"an image of {width}x{height} is too long for a side of {shorter}")
        size = (
            (shorter, int(shorter * height / width))
            if width <= height
            else (int(shorter * width / height), shorter)
        )
        image = image.resize(size, self._resample)
        left, top = (
            round((whole - part) / 2.0) for whole, part in zip(size, self._size, strict=True)
        )
        right, bottom = left + self._size[0], top + self._size[1]
        return image.crop((left, top, right, bottom))

    def _check(self, width: int, height: int) -> None:
        if width < 1 or height < 1:
            raise BadImageError(f"an image of {width}x{height} has no pixels")
        # Pillow refuses very long lines with MemoryError, which here is to mean just that.
        if width * height > MAX_PIXELS or max(width, height) > _MAX_SIDE:
            raise BadImageError(
                f"{width}x{height} pixels are above the limit of {MAX_PIXELS}, or "
                f"{_MAX_SIDE} a side"
            )
        if self._transform.crop is None or self._transform.pad:
            return
        left, top, right, bottom = self._transform.crop
        if right > width or bottom > height:
            raise BadImageError(
                f"the crop box {left},{top},{right},{bottom} reaches outside the image of "
                f"{width}x{height}"
            )


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


def _is_one_colour(packed: bytes, channels: int) -> bool:
    first = packed[:channels]
    # Few images begin and end with one colour; only those are compared whole.
    return packed.endswith(first) and packed == first * (len(packed) // channels)


def reject(error: Exception) -> NoReturn:
    """Raise BadImageError for an error of Pillow's."""
    if isinstance(error, PIL.UnidentifiedImageError):
        raise BadImageError("not an image that Pillow can read") from error
    if isinstance(error, Image.DecompressionBombError):
        raise BadImageError(f"its pixels are above the limit of {MAX_PIXELS}") from error
    reason = " ".join(str(error).split()) or type(error).__name__
    raise BadImageError(f"broken image: {reason}") from error
