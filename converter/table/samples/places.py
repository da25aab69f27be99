"""Where images are that lie within larger files: the file, and the place and size in it.

Workers get it as `packed://READER/OFFSET+SIZE/FILE`, and need no index of the file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote, unquote

import numpy as np
from numpy.typing import NDArray

PACKED = "packed://"
# What stands for the offset of an image that is not there.
NO_IMAGE = -1
# How the bytes of an image are read: as they are in the file, as the value of a key, or as that of
# a feature of a record.
BYTES, LMDB = "bytes", "lmdb"
_EXAMPLE = "example="
_LOCATION = re.compile(rf"{PACKED}([^/]+)/(-?\d+)\+(\d+)/(.*)", re.DOTALL)


def example_of(feature: str) -> str:
    """Return the reader of images that are a feature of an Example in a record."""
    return _EXAMPLE + quote(feature, safe="")


@dataclass(frozen=True)
class Place:
    """An image within a file."""

    reader: str
    offset: int
    size: int
    file: str

    @property
    def feature(self) -> str | None:
        """The feature that holds the image; None where it is no Example."""
        if not self.reader.startswith(_EXAMPLE):
            return None
        return unquote(self.reader.removeprefix(_EXAMPLE))

    @classmethod
    def parse(cls, location: str) -> Place:
        """Read what stands for a place; ValueError for anything else."""
        match = _LOCATION.fullmatch(location)
        if match is None:
            raise ValueError(f"{location} is no place in a file")
        return cls(match[1], int(match[2]), int(match[3]), match[4])

    def __str__(self) -> str:
        return f"{PACKED}{self.reader}/{self.offset}+{self.size}/{self.file}"


@dataclass(frozen=True)
class ImagePlaces:
    """The places of the images of all rows, which are in `files`, one after the other.

    Each file has its reader. Its rows begin at its number in `starts`; `offsets` and `sizes` are
    those of each file's rows.
    """

    readers: tuple[str, ...]
    files: tuple[str, ...]
    starts: NDArray[np.int64]
    offsets: Sequence[NDArray[np.int64]]
    sizes: Sequence[NDArray[np.int64]]

    def locations(self, rows: NDArray[np.int64]) -> list[str]:
        """Return where the images of rows are, for any process."""
        found = []
        numbers = np.searchsorted(self.starts, rows, side="right") - 1
        for number, row in zip(numbers.tolist(), rows.tolist(), strict=True):
            own = row - int(self.starts[number])
            offset, size = int(self.offsets[number][own]), int(self.sizes[number][own])
            found.append(str(Place(self.readers[number], offset, size, self.files[number])))
        return found
