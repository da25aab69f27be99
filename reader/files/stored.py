"""Records of fixed size as they are stored, by number: bytes, of which nothing is checked here."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from reader.files.shard import ShardFile
from reader.files.shard_files import ShardFiles
from shardio.errors import DatasetError, StorageError
from shardio.storage import RangeReader, storage_for
from shardio.storage.threads import Threads

# Reads of a server that are under way at once, and parts that a batch is cut into for that.
REQUESTS = 16
PARTS = 4 * REQUESTS


class StoredRecords:
    """Reads records of `stride` bytes of the shards that `files` opens, from any thread.

    Memory for them is (records, stride).
    """

    def __init__(self, files: ShardFiles[ShardFile], stride: int) -> None:
        self._files = files
        self._stride = stride
        self._threads = Threads(REQUESTS, "shardio-requests")

    def read(self, ids: NDArray[np.int64], memory: NDArray[np.uint8]) -> None:
        """Read the records `ids`: neighbours with a call for each shard, others with one each."""
        if len(ids) and (np.diff(ids) == 1).all():
            self.read_run(int(ids[0]), memory)
        else:
            self._read_each(ids, memory)

    def read_run(self, first: int, memory: NDArray[np.uint8]) -> None:
        """Fill `memory` with neighbours, from record `first` on."""
        done = 0
        for number, place, count in self._files.runs(np.arange(first, first + len(memory))):
            piece = memory[done : done + count].reshape(-1).data
            with self._files.counts.read():
                self._fill(self._files.get(number), number, place * self._stride, piece)
            done += count

    def _read_each(self, ids: NDArray[np.int64], memory: NDArray[np.uint8]) -> None:
        """Read records that are spread over the set; of a server, many are asked for at once."""
        stride, all_files = self._stride, self._files
        numbers, places = all_files.locate(ids)
        distinct = sorted(set(numbers.tolist()))
        # Held for the batch, that is quicker; but no more files than may be open.
        files = {number: all_files.get(number) for number in distinct[: all_files.most // 2]}
        shards, offsets = numbers.tolist(), (places * stride).tolist()
        flat = memory.reshape(-1).data

        def read(part: range) -> None:
            with all_files.counts.read():
                for row in part:
                    number = shards[row]
                    file = files.get(number) or all_files.get(number)
                    self._fill(file, number, offsets[row], flat[row * stride : (row + 1) * stride])

        size = max(1, -(-len(ids) // (1 if all_files.are_local else PARTS)))
        rows = range(len(ids))
        self._threads.map(read, [rows[at : at + size] for at in range(0, len(ids), size)])

    def _fill(self, file: RangeReader, number: int, offset: int, memory: memoryview) -> None:
        got = file.read_into(offset, memory)
        if got == len(memory):
            return
        path, end = self._files.shards[number].path, offset + got
        with suppress(StorageError):
            end = min(end, storage_for(path).stat(path).size)
        raise DatasetError(
            f"{path} ends at byte {end}, within record {end // self._stride}: it was cut while it "
            "was read"
        )
