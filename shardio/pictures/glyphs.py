"""Bitmaps of characters, 16 pixels high: GNU Unifont's, read from the bundles next to this file.

| bundle             | holds                                                                       |
|--------------------|-----------------------------------------------------------------------------|
| `unifont-cjk.xz`   | the CJK unified ideographs U+4E00..U+9FA5, 32 bytes each                    |
| `unifont-other.xz` | 65,536 bytes, for each code point how many bytes wide it is (0: not here);  |
|                    | then the bitmaps of those, 16 bytes for each of width, in their order       |

One bit a pixel, rows from the top, the leftmost pixel in the highest bit.
"""

from __future__ import annotations

import lzma
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

FOLDER = Path(__file__).parent
CJK_BUNDLE = FOLDER / "unifont-cjk.xz"
OTHER_BUNDLE = FOLDER / "unifont-other.xz"

FIRST_CODE_POINT = 0x4E00
COUNT = 20_902
"""Number of ideographs: U+4E00..U+9FA5."""
SIDE = 16
"""Height of every glyph in pixels, and width of an ideograph."""
NARROW = SIDE // 2
"""Width of a letter in pixels."""
CODE_POINTS = 1 << 16
BYTES_PER_GLYPH = SIDE * SIDE // 8

Glyph = npt.NDArray[np.uint8]


def load_glyphs() -> Glyph:
    """Return the bitmaps of all ideographs, (COUNT, SIDE, SIDE): 255 where there is ink, else 0."""
    bits = np.unpackbits(np.frombuffer(_ideographs(), np.uint8))
    return (bits * np.uint8(255)).reshape(COUNT, SIDE, SIDE)


def glyph_number(character: str) -> int:
    """Return the index of an ideograph in the array of `load_glyphs`."""
    number = ord(character) - FIRST_CODE_POINT
    if not 0 <= number < COUNT:
        raise ValueError(f"{character!r} is not one of U+4E00..U+9FA5")
    return number


def glyph(character: str) -> Glyph:
    """Return the bitmap of a character, (SIDE, NARROW or SIDE): 1 where there is ink, else 0.

    A character that no bundle has is an empty box.
    """
    code = ord(character)
    if 0 <= code - FIRST_CODE_POINT < COUNT:
        start = (code - FIRST_CODE_POINT) * BYTES_PER_GLYPH
        return _bitmap(_ideographs()[start : start + BYTES_PER_GLYPH])
    widths, starts, bitmaps = _others()
    if code >= CODE_POINTS or not widths[code]:
        return _box()
    start = int(starts[code])
    return _bitmap(bitmaps[start : start + SIDE * int(widths[code])])


def _bitmap(data: bytes) -> Glyph:
    return np.unpackbits(np.frombuffer(data, np.uint8).reshape(SIDE, -1), axis=1)


def _box() -> Glyph:
    box = np.zeros((SIDE, NARROW), np.uint8)
    box[3:14, 1:7] = 1
    box[4:13, 2:6] = 0
    return box


@cache
def _ideographs() -> bytes:
    raw = lzma.decompress(CJK_BUNDLE.read_bytes())
    if len(raw) != COUNT * BYTES_PER_GLYPH:
        raise ValueError(f"{CJK_BUNDLE} holds {len(raw)} bytes, not {COUNT} x {BYTES_PER_GLYPH}")
    return raw


@cache
def _others() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], bytes]:
    """Return the width of each code point's bitmap in bytes, where it starts, and all bitmaps."""
    raw = lzma.decompress(OTHER_BUNDLE.read_bytes())
    widths = np.frombuffer(raw[:CODE_POINTS], np.uint8)
    ends = np.cumsum(widths, dtype=np.int64) * SIDE
    if len(raw) != CODE_POINTS + ends[-1]:
        raise ValueError(f"{OTHER_BUNDLE} holds {len(raw)} bytes, not {CODE_POINTS + ends[-1]}")
    return widths, ends - widths.astype(np.int64) * SIDE, raw[CODE_POINTS:]
