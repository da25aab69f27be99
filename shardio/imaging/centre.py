"""The centre of an image that is resized first, so that it covers a size."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shardio.imaging.bad_image import BadImageError

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage
    from PIL.Image import Resampling

# Pillow's own limit of a side.
_MAX_SIDE = 1_000_000


def centre_of(
    image: PillowImage, covered: tuple[int, int], size: tuple[int, int], resample: Resampling
) -> PillowImage:
    """Resize an image, so that it just covers the size `covered`, and cut `size` from its centre.

    Sizes are (width, height), `size` at most `covered`, rounded as torchvision does. Raises
    BadImageError for an image that is too long.
    """
    width, height = image.size
    across, down = covered
    whole = (
        (across, int(across * height / width))
        if across * height >= down * width
        else (int(down * width / height), down)
    )
    if max(whole) > _MAX_SIDE:
        raise BadImageError(
            f"an image of {width}x{height} is too long for {across}x{down} to be cut from its "
            "centre"
        )
    image = image.resize(whole, resample)
    left, top = (round((of_all - part) / 2.0) for of_all, part in zip(whole, size, strict=True))
    return image.crop((left, top, left + size[0], top + size[1]))
