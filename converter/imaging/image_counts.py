"""What a transformer adds up: the seconds that images took, and the odd ones among them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from shardio.format.done import COUNTS

# As many sizes of a shard as are worth to be told apart.
_SIZES = 1000


@dataclass
class ImageTimes:
    """Seconds spent on images so far."""

    decoding: float = 0.0
    resizing: float = 0.0
    encoding: float = 0.0


@dataclass
class ImageCounts:
    """What images so far were: how many of them were odd in some way, and their sizes."""

    one_colour: int = 0
    # Lost their alpha.
    transparent: int = 0
    # Have an EXIF orientation other than upright.
    turned: int = 0
    grey: int = 0
    # Became more than twice as large.
    enlarged: int = 0
    # Lack their end.
    truncated: int = 0
    # Are of files that hold several images, of which one was taken.
    several: int = 0
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)

    def to_done(self) -> dict[str, Any]:
        """Return the fields of a done-record."""
        sizes = (f"{width}x{height}" for (width, height), _ in self.sizes.most_common(_SIZES))
        return {**{name: getattr(self, name) for name in COUNTS}, "sizes": tuple(sizes)}
