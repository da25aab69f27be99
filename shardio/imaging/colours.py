"""The colours of a decoded image: any mode of Pillow's becomes 8 bits of grey, RGB or RGBA.

16-bit grey keeps its high byte, as Pillow does when it decodes 16-bit colour. Nothing says which
values of 32 bits are black and white, so those need a range.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from shardio.imaging.bad_image import BadImageError

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage
    from PIL.ImageFile import ImageFile

_EIGHT_BIT = {
    *("1", "L", "P", "PA", "LA", "La", "RGB", "RGBA", "RGBX", "RGBa"),
    *("CMYK", "YCbCr", "LAB", "HSV"),
}
_GREY = {"1", "L", "LA", "La", "F"}
_WITH_ALPHA = {"RGBA", "LA", "PA", "La", "RGBa"}
_WITH_TRANSPARENT_COLOUR = {"1", "L", "P", "RGB"}
# Tags of TIFF: bits a sample, what 0 is, and their kind, unsigned where nothing is said.
_BITS, _ZERO, _KIND, _UNSIGNED = 258, 262, 339, 1
_WHITE = 0


def is_grey(image: PillowImage) -> bool:
    """Tell whether an image has no colours."""
    return image.mode in _GREY or image.mode.startswith("I")


def may_be_transparent(image: PillowImage) -> bool:
    """Tell whether an image has alpha, or a colour that stands for transparent."""
    if image.mode in _WITH_ALPHA:
        return True
    return "transparency" in image.info and image.mode in _WITH_TRANSPARENT_COLOUR


def is_transparent(image: PillowImage, box: tuple[int, int, int, int] | None = None) -> bool:
    """Tell whether a pixel within the box is not opaque."""
    if box is not None:
        left, top = max(0, box[0]), max(0, box[1])
        right, bottom = min(box[2], image.width), min(box[3], image.height)
        if left >= right or top >= bottom:
            return False
        image = image.crop((left, top, right, bottom))
    if image.mode != "RGBA":
        image = image.convert("RGBA")
    lowest: int = image.im.getband(3).getextrema()[0]  # in a third of getchannel's time
    return lowest < 255


def check_transparent_colour(image: ImageFile) -> None:
    """Raise BadImageError for a transparent colour of other than 8 bits, before it is loaded.

    Pillow compares it with samples that it has turned into 8 bits.
    """
    if image.format != "PNG" or "transparency" not in image.info or image.mode == "P":
        return
    if not image.tile or image.tile[0].args not in ("L", "RGB"):
        raise BadImageError("a transparent colour that is not of 8 bits is not supported")


def on_background(image: PillowImage, colour: tuple[int, int, int]) -> PillowImage:
    """Lay an image that may be transparent on a colour."""
    image = image.convert("RGBA")
    under = image.copy()
    under.paste((*colour, 255), (0, 0, *image.size))
    under.alpha_composite(image)
    return under.convert("RGB")


def to_colours(
    image: PillowImage, value_range: tuple[float, float] | None, mode: str
) -> PillowImage:
    """Return the image in `mode` (L, RGB or RGBA); BadImageError where nothing says how.

    For RGB an image may keep its alpha, which takes part when it is resized.
    """
    if image.mode == mode or (image.mode, mode) == ("RGBA", "RGB"):
        return image
    if image.mode in _EIGHT_BIT:
        try:
            return image.convert(mode)
        except ImportError:
            raise BadImageError(
                f"{image.mode} colours need a Pillow that has LittleCMS, and this one has not"
            ) from None
    bits, kind = _samples(image)
    if image.mode.startswith("I;16") or (image.mode == "I" and bits <= 16):
        # Pillow inverts such samples of 8 bits, and not those of 16.
        if getattr(image, "tag_v2", {}).get(_ZERO) == _WHITE:
            raise BadImageError("16-bit values of which 0 is white are not supported")
        low, _ = image.getextrema()
        if not isinstance(low, tuple) and low < 0:
            raise BadImageError("16-bit values below 0 are not supported")
        part = 1 / (1 << bits - 8)
        return image.convert("I").point(lambda value: value * part).convert("L").convert(mode)
    if image.mode not in ("I", "F"):
        raise BadImageError(f"images of mode {image.mode} are not supported")
    if value_range is None:
        raise BadImageError(
            "values of 32 bits: --range LOW,HIGH says which of them are black and white"
        )
    values = np.asarray(image)
    if image.mode == "I" and kind == _UNSIGNED:
        values = values.view(np.uint32)  # Pillow takes them for signed ones
    return _of_values(image, values.astype(np.float64), *value_range).convert(mode)


def _of_values(
    image: PillowImage, values: NDArray[np.float64], low: float, high: float
) -> PillowImage:
    if np.isnan(values).any():
        raise BadImageError("some values are no numbers")
    eight = np.rint(np.clip((values - low) / (high - low) * 255, 0, 255)).astype(np.uint8)
    grey = image.convert("L")
    grey.frombytes(eight.tobytes())
    return grey


def _samples(image: PillowImage) -> tuple[int, int]:
    """Return how many bits a sample has in the file, and of which kind it is."""
    tags = getattr(image, "tag_v2", None)
    if tags is None:
        return (16 if image.mode.startswith("I") else 32), 0
    return tags.get(_BITS, (1,))[0], tags.get(_KIND, (_UNSIGNED,))[0]
