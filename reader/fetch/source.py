"""The protocol of record sources, which batches are read from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from reader.fetch.waiting import Stopwatch, Taken
from reader.files.mapped_files import Maps

# Blocks that are read at once. Those of a network come no faster with more.
BLOCKS_AT_ONCE = 4


class Fetch(Protocol):
    """Records that are fetched; `taken` is known when the result is."""

    @property
    def taken(self) -> Taken:
        """What it took to read them."""

    def result(self) -> NDArray[np.int64]:
        """Wait for the records; returns their integers."""


class BlockMemory(Protocol):
    """Memory for rows of records; the form of a row is known to its methods only."""

    def fill(self, row: int, first: int, count: int) -> None:
        """Read `count` neighbours, from record `first` on, into the rows from `row` on."""

    def gather(
        self, rows: NDArray[np.int64], ids: NDArray[np.int64], images: NDArray[Any]
    ) -> NDArray[np.int64]:
        """Copy rows, which hold the records `ids`, into `images`; returns their integers."""


class RecordSource(Protocol):
    """Reads records by their number in the set, from any thread.

    The integers of a record are its numbers: the values of its labels, a float as its 32 bits, and
    its row. Images are arrays (records, bytes of an image) of uint8 or float32, where pixels are
    divided by 255.

    `in_blocks` tells whether a read is slow to begin, so that the `window` order should hold whole
    blocks. `begins` tells whether `begin` reads while the caller goes on.
    """

    in_blocks: bool
    begins: bool

    def fetch(self, ids: NDArray[np.int64], images: NDArray[Any]) -> NDArray[np.int64]:
        """Read the records `ids` into the first rows of `images`; returns their integers.

        The row of a damaged one that was skipped is `skipped.SKIPPED`.
        """

    def begin(self, ids: NDArray[np.int64], images: NDArray[Any]) -> Fetch:
        """Begin to `fetch`; most do so when the result is asked for."""
        return LaterFetch(self.fetch, ids, images)

    def block_memory(self, rows: int) -> BlockMemory:
        """Return memory for `rows` records of blocks."""

    def mapped(self, maps: Maps) -> RecordSource:
        """Return the source for the same records where all are files of this machine."""
        return self

    def owned(self, records: int, *, in_blocks: bool) -> dict[str, int]:
        """Return the bytes of memory, by part, that reading a batch takes besides the batch.

        They are more where records do not come from blocks that are held.
        """

    def bound(self, spare: int) -> None:
        """Refuse records that take more than `spare` bytes beyond those of `owned`."""

    def advise(self, ids: NDArray[np.int64]) -> bool:
        """Advise storage that the records `ids` will be read soon.

        Returns whether it may have something to read: they may be in memory already.
        """

    def close(self) -> None:
        """Close the files; reads under way are not disturbed, and later ones open them again."""


class LaterFetch:
    """Records that `fetch` reads when their result is asked for."""

    taken = Taken(0.0, 0)

    def __init__(
        self,
        fetch: Callable[[NDArray[np.int64], NDArray[Any]], NDArray[np.int64]],
        ids: NDArray[np.int64],
        images: NDArray[Any],
    ) -> None:
        self._fetch = fetch
        self._ids = ids
        self._images = images

    def result(self) -> NDArray[np.int64]:
        """Read the records; returns their integers."""
        watch = Stopwatch()
        integers = self._fetch(self._ids, self._images)
        self.taken = watch.taken()
        return integers
