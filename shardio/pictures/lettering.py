"""Text as pixels: lines of 16 rows, in GNU Unifont's bitmaps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shardio.pictures.glyphs import NARROW, SIDE, glyph
from shardio.plain_text import plain_text

_CUT = "…"


def lettering(text: str) -> NDArray[np.uint8]:
    """Return a text as ink, (SIDE, width): 1 where there is ink, else 0."""
    glyphs = [glyph(character) for character in plain_text(text)]
    return np.concatenate([np.zeros((SIDE, 0), np.uint8), *glyphs], axis=1)


def text_width(text: str) -> int:
    """Return how many pixels wide a text is."""
    return sum(glyph(character).shape[1] for character in plain_text(text))


def wrapped(text: str, width: int, lines: int) -> list[str]:
    """Break a text, at spaces where there are any, into at most `lines` lines of `width` pixels.

    What is left out is said by an ellipsis.
    """
    found: list[str] = []
    left = plain_text(text).strip()
    while left and len(found) < lines:
        fits = _fitting(left, width)
        if fits < len(left) and len(found) == lines - 1:
            short = left[: _fitting(left, width - text_width(_CUT))]
            found.append(short.rstrip() + _CUT)
            break
        if fits < len(left) and left[fits] != " " and " " in left[:fits]:
            fits = left.rindex(" ", 0, fits)
        found.append(left[:fits].rstrip())
        left = left[fits:].lstrip()
    return found


def _fitting(text: str, width: int) -> int:
    """Return how many characters fit into `width` pixels, at least one."""
    used = 0
    for number, character in enumerate(text):
        used += max(NARROW, glyph(character).shape[1])
        if used > width:
            return max(1, number)
    return len(text)
