"""An image as it is and as it is stored, for people: the whole of it, the box, the result."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from converter.imaging.decoder import Box, Decoder
from converter.imaging.transformer import ImageTransformer
from shardio.format.transform import MODES, Transform
from shardio.imaging.bad_image import BadImageError
from shardio.imaging.colours import may_be_transparent, on_background, to_colours


@dataclass(frozen=True)
class BeforeAfter:
    """An image before and after its transform.

    `before` is RGB, reduced to some size, (height, width, 3), and `box` is what is cut out of it,
    in its pixels; None where it cannot be decoded at all. `after` is what a record holds, (height,
    width, channels); None for an image that would be rejected, and `reason` says why.
    """

    before: NDArray[np.uint8] | None
    box: Box | None
    after: NDArray[np.uint8] | None
    reason: str = ""


class Previewer:
    """Does to images what a conversion would, and keeps what they were before."""

    def __init__(
        self, transform: Transform, *, strict: bool, max_pixels: int, truncated: bool
    ) -> None:
        self._transform = transform
        self._transformer = ImageTransformer(
            transform, strict=strict, max_pixels=max_pixels, truncated=truncated
        )
        # A box that does not fit is to be seen, so here there is none.
        whole = Transform(
            size=(1, 1),
            background=transform.background,
            orientation=transform.orientation,
            channels=transform.channels,
        )
        self._decoder = Decoder(whole, strict=True, max_pixels=max_pixels)

    def look(self, data: bytes, box: Box | None, side: int) -> BeforeAfter:
        """Return an image before and after; no side of the former gets more than `side` pixels.

        `box` is cut out in place of the one that the transform has for all images.
        """
        before, drawn = self._before(data, box or self._transform.crop, side)
        try:
            pixels = self._transformer.pixels(data, box)
        except BadImageError as error:
            return BeforeAfter(before, drawn, None, str(error))
        after = np.frombuffer(pixels, dtype=np.uint8).reshape(self._transform.shape)
        return BeforeAfter(before, drawn, after)

    def _before(
        self, data: bytes, box: Box | None, side: int
    ) -> tuple[NDArray[np.uint8] | None, Box | None]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                image = self._decoder.decode(data, None).image
                if may_be_transparent(image) and self._transform.background is not None:
                    image = on_background(image, self._transform.background)
                image = to_colours(image, self._transform.value_range, MODES[3])
                width, height = image.size
                box = self._centre(width, height) or box
                scale = min(1.0, side / max(width, height))
                size = max(1, round(width * scale)), max(1, round(height * scale))
                small = image.resize(size, Image.Resampling.BOX) if scale < 1 else image
            except MemoryError:
                raise
            except Exception:  # the transformer says what is wrong with it
                return None, None
        rgb = small if small.mode == MODES[3] else small.convert(MODES[3])
        return np.array(rgb, dtype=np.uint8), None if box is None else _moved(box, scale)

    def _centre(self, width: int, height: int) -> Box | None:
        """Return what is left of an image of which the centre is cut out."""
        shorter = self._transform.shorter
        if shorter is None:
            return None
        scale = min(width, height) / shorter
        rows, columns, _ = self._transform.shape
        left, top = (width - columns * scale) / 2, (height - rows * scale) / 2
        return round(left), round(top), round(width - left), round(height - top)


def _moved(box: Box, scale: float) -> Box:
    left, top, right, bottom = (round(place * scale) for place in box)
    return left, top, max(left + 1, right), max(top + 1, bottom)
