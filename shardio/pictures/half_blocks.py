"""Pictures in a terminal: two pixels above each other in one character, in true colour."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import numpy as np

from shardio.pictures.contact_sheet import Tile
from shardio.pictures.picture import Picture
from shardio.plain_text import plain_text

_UPPER = "▀"
_RESET = "\x1b[0m"
_GAP = 2


def half_blocks(image: Picture) -> list[str]:
    """Return an RGB image as lines of a terminal; one of odd height ends with a row of black."""
    height, width, _ = image.shape
    if height % 2:
        image = np.concatenate([image, np.zeros((1, width, 3), np.uint8)])
    lines = []
    for upper, lower in zip(image[::2].tolist(), image[1::2].tolist(), strict=True):
        line, before = "", None
        for above, below in zip(upper, lower, strict=True):
            if (above, below) != before:
                line += "\x1b[38;2;{};{};{};48;2;{};{};{}m".format(*above, *below)
                before = above, below
            line += _UPPER
        lines.append(line + _RESET)
    return lines


def terminal_rows(tiles: Sequence[Tile], columns: int) -> list[str]:
    """Return tiles as lines of a terminal `columns` wide, as many beside each other as fit."""
    width = max([1, *(tile.image.shape[1] for tile in tiles)])
    texts = max([0, *(len(tile.texts) for tile in tiles)])
    beside = max(1, (columns + _GAP) // (width + _GAP))
    lines = []
    for start in range(0, len(tiles), beside):
        row = tiles[start : start + beside]
        height = -(-max(tile.image.shape[0] for tile in row) // 2)
        blocks = [_tile(tile, width, height, texts) for tile in row]
        lines += [(" " * _GAP).join(parts).rstrip(" ") for parts in zip(*blocks, strict=True)]
        lines.append("")
    return lines


def _tile(tile: Tile, width: int, height: int, texts: int) -> list[str]:
    """Return the lines of a tile, each of them `width` characters wide."""
    picture = [line + " " * (width - tile.image.shape[1]) for line in half_blocks(tile.image)]
    picture += [" " * width] * (height - len(picture))
    written = [_padded(text, width) for text in tile.texts]
    return [*picture, *written, *([" " * width] * (texts - len(written)))]


def _padded(text: str, width: int) -> str:
    """Return a text cut or filled up to `width` characters of a terminal."""
    shown, used = "", 0
    for character in plain_text(text):
        takes = cells(character)
        if used + takes > width:
            break
        shown, used = shown + character, used + takes
    return shown + " " * (width - used)


def cells(character: str) -> int:
    """Return how many places of a terminal a character takes."""
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
