"""Image files that hold several images: frames of an animation, pages, views, sizes.

Pillow opens the first of them, of ICO the largest. Whoever counts them must know.
"""

from __future__ import annotations

from contextlib import suppress
from io import BytesIO

from PIL import Image
from PIL.ImageFile import ImageFile


def holds_several(opened: ImageFile, data: bytes) -> bool:
    """Tell whether a file, opened by Pillow, holds more images than the one that is taken."""
    if opened.format == "ICO":
        return len(opened.info.get("sizes", ())) > 1
    # What comes behind the image that is taken may be damaged in any way.
    with suppress(Exception):
        if opened.format == "GIF":
            # To look for the next frame changes an image that is open.
            with Image.open(BytesIO(data), formats=["GIF"]) as another:
                return bool(getattr(another, "is_animated", False))
        return bool(getattr(opened, "is_animated", False))
    return False
