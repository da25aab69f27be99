"""Images: decoded as far as the crop needs, cropped and resized, with Pillow's pixels.

from converter.imaging import BadImageError, ImageTransformer
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from converter.imaging.transformer import ImageTransformer
    from shardio.imaging.bad_image import BadImageError

__all__ = ["BadImageError", "ImageTransformer"]

# Imported when they are asked for: the transformer loads Pillow.
_PLACES = {
    "BadImageError": "shardio.imaging.bad_image",
    "ImageTransformer": "converter.imaging.transformer",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)
