"""A contact sheet: many images in one picture, each with lines of text under it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from shardio.errors import OptionError
from shardio.pictures.glyphs import NARROW, SIDE
from shardio.pictures.lettering import lettering, wrapped
from shardio.pictures.picture import Picture

# Width of a text under an image of less, in pixels.
NARROWEST = 12 * NARROW
# Lines that one text may take.
_WRAPPED = 2
_GAP = 12
_MARGIN = 16
_LEADING = 2
_ASPECT = 4 / 3
_MAX_PIXELS = 100_000_000

_PAPER, _INK, _GREY = (250, 250, 248), (24, 24, 24), (105, 105, 105)
_FRAME = (205, 205, 203)


@dataclass(frozen=True)
class Tile:
    """An image, RGB, as large as it is to be shown, and the texts under it: the last one grey."""

    image: Picture
    texts: tuple[str, ...]


def contact_sheet(
    tiles: Sequence[Tile], title: Sequence[str] = (), columns: int | None = None
) -> Picture:
    """Draw tiles side by side, in rows, below the lines of a title; returns an RGB picture.

    Without `columns` the sheet becomes about a third wider than high. Raises OptionError where it
    would have more than 100 million pixels.
    """
    width = max([NARROWEST, *(tile.image.shape[1] for tile in tiles)])
    picture_height = max([1, *(tile.image.shape[0] for tile in tiles)])
    texts = [
        [
            (line, number == len(tile.texts) - 1 > 0)
            for number, text in enumerate(tile.texts)
            for line in wrapped(text, width, _WRAPPED)
        ]
        for tile in tiles
    ]
    line = SIDE + _LEADING
    height = picture_height + max([0, *map(len, texts)]) * line + _LEADING
    count = max(1, len(tiles))
    if columns is None:
        columns = round(math.sqrt(count * _ASPECT * (height + _GAP) / (width + _GAP)))
    columns = min(count, max(1, columns))
    rows = -(-count // columns)
    full = max(columns * (width + _GAP) - _GAP, 40 * NARROW)
    heading = [part for text in title for part in wrapped(text, full, _WRAPPED)]
    top = _MARGIN + len(heading) * line + (_GAP if heading else 0)
    shape = top + rows * (height + _GAP) - _GAP + _MARGIN, full + 2 * _MARGIN
    if shape[0] * shape[1] > _MAX_PIXELS:
        raise OptionError(
            f"a sheet of {count:,} images would have {shape[1]:,} x {shape[0]:,} pixels; show fewer"
        )
    sheet = np.empty((*shape, 3), dtype=np.uint8)
    sheet[:] = _PAPER
    for number, text in enumerate(heading):
        _write(sheet, _MARGIN + number * line, _MARGIN, text, _INK)
    for number, (tile, lines) in enumerate(zip(tiles, texts, strict=True)):
        y = top + number // columns * (height + _GAP)
        x = _MARGIN + number % columns * (width + _GAP)
        rows_of, columns_of, _ = tile.image.shape
        # A frame, without which a white image is not seen.
        sheet[y - 1 : y + rows_of + 1, x - 1 : x + columns_of + 1] = _FRAME
        sheet[y : y + rows_of, x : x + columns_of] = tile.image
        for at, (text, is_grey) in enumerate(lines):
            _write(sheet, y + rows_of + _LEADING + at * line, x, text, _GREY if is_grey else _INK)
    return sheet


def _write(sheet: Picture, y: int, x: int, text: str, colour: tuple[int, int, int]) -> None:
    ink = lettering(text)[:, : max(0, sheet.shape[1] - x)].astype(bool)
    sheet[y : y + SIDE, x : x + ink.shape[1]][ink] = colour
