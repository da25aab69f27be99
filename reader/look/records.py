"""Records for people: some of a set by number, or all of it piece by piece."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from reader.batching.label_arrays import wrong_label
from reader.fetch.source import RecordSource
from reader.shardset import ShardSet
from shardio.errors import DatasetError, OptionError

# Memory for the images of a piece, and the most records of one.
_PIECE_BYTES = 1 << 22
_MOST = 4096


class Records:
    """Reads records of a set, with their CRCs compared; close it after use."""

    def __init__(self, shards: ShardSet) -> None:
        """Raise OptionError for images of floats, whose colours nothing tells."""
        if shards.kind.image_dtype != "uint8":
            raise OptionError(
                "the images of this set are floats, of which no pictures are made: read them in "
                "Python, with open_shards"
            )
        self._shards = shards
        self._source: RecordSource = shards.source(verify=True)
        self._size = shards.layout.image_bytes
        self.piece = max(1, min(_MOST, _PIECE_BYTES // self._size))
        self._memory = np.empty((0, self._size), dtype=np.uint8)

    def read(self, ids: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Return the images of records, (n, height, width, channels), and their numbers, (n, m).

        The images are gone with the next call. Raises CorruptRecordError for a damaged record, and
        DatasetError for one whose label is none of its head's.
        """
        if len(self._memory) < len(ids):
            self._memory = np.empty((len(ids), self._size), dtype=np.uint8)
        images = self._memory[: len(ids)]
        numbers = self._source.fetch(ids, images)
        wrong = wrong_label(numbers, self._shards.labels)
        if wrong is not None:
            at, what = wrong
            raise DatasetError(f"{self._shards.place(int(ids[at]))}: {what}")
        return images.reshape(len(ids), *self._shards.shape), numbers

    def pieces(
        self, ids: NDArray[np.int64]
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint8], NDArray[np.int64]]]:
        """Read records piece by piece: yields their numbers in the set, images and numbers."""
        for start in range(0, len(ids), self.piece):
            part = ids[start : start + self.piece]
            yield (part, *self.read(part))

    def close(self) -> None:
        """Close the files."""
        self._source.close()


def spread(total: int, count: int, seed: int) -> NDArray[np.int64]:
    """Choose `count` of `total` records at random, or all; returns their numbers in order."""
    if count >= total:
        return np.arange(total, dtype=np.int64)
    # A set is drawn without memory for all of it.
    chosen = np.random.default_rng(seed).choice(total, count, replace=False, shuffle=False)
    return np.sort(chosen.astype(np.int64))


def find_rows(shards: ShardSet, rows: list[int]) -> NDArray[np.int64]:
    """Return the records of rows of the input table, in the order of `rows`.

    All records are read until they are found. Raises DatasetError for a row that has none.
    """
    wanted = np.array(rows, dtype=np.int64)
    found = np.full(len(wanted), -1, dtype=np.int64)
    records = Records(shards)
    try:
        for ids, _, numbers in records.pieces(np.arange(len(shards), dtype=np.int64)):
            at, which = np.nonzero(numbers[:, -1, None] == wanted)
            found[which] = ids[at]
            if (found >= 0).all():
                return found
    finally:
        records.close()
    missing = wanted[found < 0].tolist()
    raise DatasetError(
        f"no record is of row {', '.join(map(str, missing))} of the table: it was rejected "
        "(rejects.csv says why), is in another split, or the table has fewer rows"
    )
