"""The characters of the demo's classes; their bitmaps are those that shardio's pictures have."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from shardio.pictures.glyphs import COUNT, FIRST_CODE_POINT, SIDE, glyph_number, load_glyphs

__all__ = ["COUNT", "SIDE", "class_characters", "class_glyphs", "glyph_number", "load_glyphs"]


def class_glyphs(classes: int) -> npt.NDArray[np.int64]:
    """Return the glyph number of each class, shape (classes,), spread evenly over all glyphs."""
    if not 1 <= classes <= COUNT:
        raise ValueError(f"classes must be 1..{COUNT}, not {classes}")
    return np.arange(classes, dtype=np.int64) * COUNT // classes


def class_characters(classes: int) -> list[str]:
    """Return the character of each class."""
    return [chr(FIRST_CODE_POINT + number) for number in class_glyphs(classes).tolist()]
