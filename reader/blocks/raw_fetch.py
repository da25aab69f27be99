"""Records of fixed size by number, from storage that is no disk: whole blocks, then compiled code.

What comes from HDFS or a URL is kept as it came, and compiled code takes batches out of that
memory as it would out of a memory map: every checksum is compared when a record is used.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from reader.core.compiled import core
from reader.fetch.numpy_fetch import Fetcher
from reader.fetch.pool import Room, aligned
from reader.fetch.source import Fetch, LaterFetch
from shardio.format.layout import RecordLayout


class RawFetcher:
    """Reads records as `fetcher` does, from any number of threads.

    Whatever is not as it should be is left to `fetcher`, which reads it again.
    """

    scales = True
    in_blocks = True
    begins = False

    def __init__(self, fetcher: Fetcher, layout: RecordLayout, *, verify: bool) -> None:
        assert core is not None
        self._fetcher = fetcher
        self._layout = layout
        self._verify = verify
        self._core_layout = core.layout(
            layout.head,
            layout.image_bytes,
            layout.tail_bytes,
            layout.number_offsets,
            layout.number_bytes,
            2,
        )
        # What compiled code wants to know of files, and there are none.
        self._no_files = np.empty(0, dtype=np.int32)
        self._no_offsets = np.empty(0, dtype=np.int64)

    def room(self, records: int, dtype: str = "uint8") -> Room:
        """Make room for `records` records, as pixels or, float32, as pixels / 255."""
        return Room(records, self._layout.image_bytes, dtype)

    def close(self) -> None:
        """Close the files; they are opened again when they are needed."""
        self._fetcher.close()

    def advise(self, ids: NDArray[np.int64]) -> bool:
        """Let storage begin to read the records `ids`."""
        return self._fetcher.advise(ids)

    def fetch(self, ids: NDArray[np.int64], room: Room) -> NDArray[np.int64]:
        """Read the records `ids`, each with a request; returns their integers."""
        return self.fetch_into(ids, room.array)

    def begin(self, ids: NDArray[np.int64], room: Room) -> Fetch:
        """Fetch when the result is asked for."""
        return LaterFetch(self.fetch, ids, room)

    def fetch_into(self, ids: NDArray[np.int64], images: NDArray[Any]) -> NDArray[np.int64]:
        """Read the records `ids` into the first rows of `images`."""
        slot = self._fetcher.room(len(ids))
        integers = self._fetcher.fetch(ids, slot)
        if images.dtype == np.float32:
            np.divide(slot.array, np.float32(255), out=images[: len(ids)])
        else:
            images[: len(ids)] = slot.array
        return integers

    def fetch_run(self, first: int, pixels: NDArray[np.uint8], integers: NDArray[np.int64]) -> None:
        """Fill `pixels` and `integers` with neighbours."""
        self._fetcher.fetch_run(first, pixels, integers)

    def read_run(self, first: int, memory: memoryview) -> None:
        """Fill `memory` with neighbours as they are stored."""
        self._fetcher.read_run(first, memory)

    def take(
        self, addresses: NDArray[np.int64], ids: NDArray[np.int64], images: NDArray[Any]
    ) -> NDArray[np.int64]:
        """Take the records `ids` from memory into the first rows of `images`."""
        assert core is not None
        count = len(ids)
        integers = np.empty((count, self._layout.numbers), dtype=np.int64)
        if len(self._no_files) < count:
            self._no_files = np.full(count, -1, dtype=np.int32)
            self._no_offsets = np.zeros(count, dtype=np.int64)
        wrong: int = core.read(
            self._core_layout,
            self._no_files[:count],
            self._no_offsets[:count],
            addresses,
            images,
            images.dtype == np.float32,
            integers,
            np.empty(len(ids), dtype=np.int64),
            self._verify,
        )
        return self.fetch_into(ids, images) if wrong else integers

    def block_memory(self, rows: int) -> RawMemory:
        """Make room for `rows` records as they are stored."""
        return RawMemory(self, self._layout.stride, rows)


class RawMemory:
    """Records as they are stored."""

    def __init__(self, source: RawFetcher, stride: int, rows: int) -> None:
        self._source = source
        self._stride = stride
        self._memory = aligned(rows * stride)
        self._view = self._memory.data
        self._address = self._memory.ctypes.data

    def fill(self, row: int, first: int, count: int) -> None:
        """Read neighbours with one request, or as many as shards."""
        start = row * self._stride
        self._source.read_run(first, self._view[start : start + count * self._stride])

    def gather(
        self, rows: NDArray[np.int64], ids: NDArray[np.int64], images: NDArray[Any]
    ) -> NDArray[np.int64]:
        """Decode rows, and compare their checksums."""
        return self._source.take(self._address + rows * self._stride, ids, images)
