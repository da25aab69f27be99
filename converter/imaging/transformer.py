"""One image: decode, crop, resize.

The pixels equal, bit for bit and with the same Pillow,

    np.array(Image.open(path).crop(box).resize(size))[..., :3]

for RGB and RGBA images. Others become RGB first (see colours). With 1 or 4 channels all become L or
RGBA first. EXIF orientation is applied only where the transform says so.
"""

from __future__ import annotations

import time
from contextlib import nullcontext
from io import BytesIO

from PIL import Image

from converter.imaging.decoder import Box, Decoded, Decoder
from converter.imaging.image_counts import ImageCounts, ImageTimes
from converter.imaging.orientation import UPRIGHT
from converter.imaging.pillow import quiet, reject
from shardio.format.encoding import Encoding
from shardio.format.transform import ENLARGED, MAX_PIXELS, MODES, NO_RESAMPLING, Transform
from shardio.imaging.bad_image import BadImageError
from shardio.imaging.centre import centre_of
from shardio.imaging.colours import (
    is_grey,
    is_transparent,
    may_be_transparent,
    on_background,
    to_colours,
)


class ImageTransformer:
    """Turns the bytes of image files into pixels; keeps the time that it took, and counts."""

    def __init__(
        self,
        transform: Transform,
        *,
        strict: bool = False,
        max_pixels: int = MAX_PIXELS,
        truncated: bool = False,
    ) -> None:
        """Damage below the crop box is seen only with `strict`, which decodes every row.

        With `truncated` files whose end is missing are taken as Pillow can decode them.
        """
        self._decoder = Decoder(transform, strict=strict, max_pixels=max_pixels)
        self._truncated = truncated
        self.times = ImageTimes()
        self.counts = ImageCounts()
        self._transform = transform
        self._mode = MODES[transform.channels]
        height, width, _ = transform.shape
        self._size = width, height
        none = transform.resample == NO_RESAMPLING
        self._resample = None if none else Image.Resampling[transform.resample.upper()]

    def pixels(self, data: bytes, box: Box | None = None) -> bytes:
        """Return height x width x channels bytes, row-major; BadImageError with the reason.

        `box` is cut out in place of the one that the transform has for all images.
        """
        if not data:
            raise BadImageError("the file is empty")
        box = box or self._transform.crop
        try:
            start = time.perf_counter()
            found = self._decode(data, box)
            decoded = time.perf_counter()
            self.times.decoding += decoded - start
            # The decoded image stays until the end: freed memory would be given back to the kernel,
            # and asked for again. What Pillow warns of when it converts stands in the file's notes.
            with quiet() if found.image.info else nullcontext():
                cut, transparent = self._cut_out(found.image, box)
            packed = self._resize(cut)
            self.times.resizing += time.perf_counter() - decoded
        except (BadImageError, MemoryError):
            raise
        # Pillow's plugins raise nearly anything on hostile bytes: SyntaxError, struct.error,
        # KeyError, ... The bytes are in memory, so none of it comes from the storage.
        except Exception as error:
            reject(error, data)
        counts = self.counts
        counts.transparent += transparent
        counts.one_colour += _is_one_colour(packed, self._transform.channels)
        counts.turned += found.orientation != UPRIGHT
        counts.grey += is_grey(found.image)
        counts.several += found.several
        counts.enlarged += (
            self._resample is not None
            and self._transform.shorter is None
            and (self._size[0] > ENLARGED * cut.width or self._size[1] > ENLARGED * cut.height)
        )
        counts.sizes[found.size] += 1
        return packed

    def _decode(self, data: bytes, box: Box | None) -> Decoded:
        try:
            return self._decoder.decode(data, box)
        except (BadImageError, MemoryError):
            raise
        except Exception:
            if not self._truncated:
                raise
            found = self._decoder.decode_truncated(data, box)
            self.counts.truncated += 1
            return found

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

    def _cut_out(self, image: Image.Image, box: Box | None) -> tuple[Image.Image, bool]:
        """Return the box in its colours, and whether transparent parts of it lose their alpha."""
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
            assert self._resample is not None, "a shorter side is for images that are resized"
            side = self._transform.shorter
            image = centre_of(image, (side, side), self._size, self._resample)
        elif self._resample is not None:
            image = image.resize(self._size, self._resample)
        elif image.size != self._size:
            size = "{}x{}".format(*self._size)
            raise BadImageError(
                f"{image.width}x{image.height} pixels, not {size} as the sample or --size has, and "
                f"nothing is resized; --size {size} alone resizes it"
            )
        return image.tobytes("raw", self._mode)


def _is_one_colour(packed: bytes, channels: int) -> bool:
    first = packed[:channels]
    # Few images begin and end with one colour; only those are compared whole.
    return packed.endswith(first) and packed == first * (len(packed) // channels)
