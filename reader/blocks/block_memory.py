"""The memory of the `window` order's blocks: filled a block at a time, gathered into batches."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from reader.blocks.raw_fetch import RawFetcher
from reader.fetch.pool import aligned
from reader.fetch.source import RecordSource
from reader.foreign.layout import Layout


class BlockMemory(Protocol):
    """Room for rows of records; what a row holds is known to those who fill and gather them."""

    def fill(self, row: int, first: int, count: int) -> None:
        """Read `count` neighbours, from record `first` on, into the rows from `row` on."""

    def gather(
        self, rows: NDArray[np.int64], ids: NDArray[np.int64], images: NDArray[Any]
    ) -> NDArray[np.int64]:
        """Copy rows, which hold the records `ids`, into `images`; returns their integers."""


def block_memory(source: RecordSource, layout: Layout, rows: int) -> BlockMemory:
    """Make the memory that suits a source."""
    if isinstance(source, RawFetcher):
        return source.block_memory(rows)
    return ArrayMemory(source, layout, rows)


class ArrayMemory:
    """Pixels and integers as the source decodes and checks them, copied once for a batch."""

    def __init__(self, source: RecordSource, layout: Layout, rows: int) -> None:
        self._source = source
        self._pixels = aligned(rows * layout.image_bytes).reshape(rows, layout.image_bytes)
        self._integers = np.empty((rows, layout.numbers), dtype=np.int64)

    def fill(self, row: int, first: int, count: int) -> None:
        """Read neighbours."""
        rows = slice(row, row + count)
        self._source.fetch_run(first, self._pixels[rows], self._integers[rows])

    def gather(
        self, rows: NDArray[np.int64], ids: NDArray[np.int64], images: NDArray[Any]
    ) -> NDArray[np.int64]:
        """Copy rows."""
        # With mode="raise" NumPy would fill a buffer first and copy that.
        np.take(self._pixels, rows, axis=0, out=images, mode="clip")
        integers: NDArray[np.int64] = self._integers[rows]
        return integers
