"""The bitmaps of the CJK unified ideographs, read from the bundle next to this file."""

from __future__ import annotations

import lzma
from pathlib import Path

import numpy as np
import numpy.typing as npt

BUNDLE = Path(__file__).with_name("unifont-cjk.xz")

FIRST_CODE_POINT = 0x4E00
COUNT = 20_902
"""Number of glyphs: U+4E00..U+9FA5."""
SIDE = 16
"""Width and height of a glyph in pixels."""
BYTES_PER_GLYPH = SIDE * SIDE // 8

Glyph = npt.NDArray[np.uint8]


def load_glyphs(bundle: Path = BUNDLE) -> Glyph:
    """Return all bitmaps, shape (COUNT, SIDE, SIDE): 255 where there is ink, else 0."""
    raw = lzma.decompress(bundle.read_bytes())
    if len(raw) != COUNT * BYTES_PER_GLYPH:
        raise ValueError(f"{bundle} holds {len(raw)} bytes, not {COUNT} x {BYTES_PER_GLYPH}")
    # One bit per pixel, rows from the top, the leftmost pixel in the highest bit.
    bits = np.unpackbits(np.frombuffer(raw, np.uint8))
    return (bits * np.uint8(255)).reshape(COUNT, SIDE, SIDE)


def glyph_number(character: str) -> int:
    """Return the index of the character in the array of load_glyphs."""
    number = ord(character) - FIRST_CODE_POINT
    if not 0 <= number < COUNT:
        raise ValueError(f"{character!r} is not one of U+4E00..U+9FA5")
    return number


def class_glyphs(classes: int) -> npt.NDArray[np.int64]:
    """Return the glyph number of each class, shape (classes,), spread evenly over all glyphs."""
    if not 1 <= classes <= COUNT:
        raise ValueError(f"classes must be 1..{COUNT}, not {classes}")
    return np.arange(classes, dtype=np.int64) * COUNT // classes


def class_characters(classes: int) -> list[str]:
    """Return the character of each class."""
    return [chr(FIRST_CODE_POINT + number) for number in class_glyphs(classes).tolist()]
