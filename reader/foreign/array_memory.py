"""Blocks of records that are kept as pixels and integers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reader.fetch.pool import aligned

# Reads neighbours, by their numbers, into rows of pixels and of integers.
Fill = Callable[[NDArray[np.int64], NDArray[Any], NDArray[np.int64]], None]


class ArrayMemory:
    """Pixels and integers as a source decodes and checks them, copied once for a batch."""

    def __init__(self, fill: Fill, rows: int, values: int, numbers: int, dtype: str) -> None:
        """Make it for images of so many values."""
        self._fill = fill
        size = rows * values * np.dtype(dtype).itemsize
        self._pixels = aligned(size).view(dtype).reshape(rows, values)
        self._integers = np.empty((rows, numbers), dtype=np.int64)

    def fill(self, row: int, first: int, count: int) -> None:
        """Read neighbours."""
        rows = slice(row, row + count)
        self._fill(np.arange(first, first + count), self._pixels[rows], self._integers[rows])

    def gather(
        self, rows: NDArray[np.int64], ids: NDArray[np.int64], images: NDArray[Any]
    ) -> NDArray[np.int64]:
        """Copy rows."""
        if images.dtype != self._pixels.dtype:
            for image, row in zip(images, rows.tolist(), strict=False):
                np.divide(self._pixels[row], np.float32(255), out=image)
        else:
            # With mode="raise" NumPy would fill a buffer first and copy that.
            np.take(self._pixels, rows, axis=0, out=images[: len(rows)], mode="clip")
        integers: NDArray[np.int64] = self._integers[rows]
        return integers
