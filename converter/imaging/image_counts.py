"""What a transformer adds up: the seconds that images took, and the odd ones among them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class ImageTimes:
    """Seconds spent on images so far."""

    decoding: float = 0.0
    resizing: float = 0.0
    encoding: float = 0.0


@dataclass
class ImageCounts:
    """Images so far whose pixels are odd: of one colour, or with parts that are transparent."""

    one_colour: int = 0
    transparent: int = 0
