"""Records for pages: those that are damaged do not keep the others from being shown."""

from __future__ import annotations

from threading import Lock

import numpy as np
from numpy.typing import NDArray

from reader.look.records import Records
from reader.shardset import ShardSet
from shardio.errors import ShardioError

Read = tuple[NDArray[np.uint8], NDArray[np.int64]]


class SoundRecords:
    """Reads records of a set by number, for one thread at a time."""

    def __init__(self, shards: ShardSet) -> None:
        self._records = Records(shards)
        self._turn = Lock()

    def read(self, ids: NDArray[np.int64]) -> list[Read | ShardioError]:
        """Return image (height, width, channels) and numbers of each, or why it cannot be read."""
        with self._turn:
            found: list[Read | ShardioError] = []
            for start in range(0, len(ids), self._records.piece):
                found += self._read(ids[start : start + self._records.piece])
            return found

    def _read(self, ids: NDArray[np.int64]) -> list[Read | ShardioError]:
        try:
            images, numbers = self._records.read(ids)
        except ShardioError as error:
            if len(ids) == 1:
                return [error]
            return [one for number in ids for one in self._read(np.array([number]))]
        return list(zip(images.copy(), numbers, strict=True))

    def close(self) -> None:
        """Close the files."""
        with self._turn:
            self._records.close()
