"""Records of any size by number: found by their index, parsed, and their images decoded."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reader.fetch.skipped import SKIPPED, Skipped
from reader.fetch.source import BLOCKS_AT_ONCE, RecordSource
from reader.files.shard import IndexedShard
from reader.files.shard_files import ShardFiles
from reader.files.stored import PARTS, REQUESTS
from reader.foreign.array_memory import ArrayMemory
from reader.foreign.decode import decode
from reader.foreign.layout import DECODERS, ForeignLayout
from reader.foreign.source_memory import SourceMemory
from shardio.errors import (
    CorruptRecordError,
    DatasetError,
    FormatError,
    UnsupportedRecordError,
)
from shardio.examples.example import parse_example
from shardio.format.framing import (
    FOOTER_BYTES,
    HEADER_BYTES,
    masked_crc,
    parse_header,
)
from shardio.storage.threads import Threads

# Neighbours that are read with one call: what a disk gives in the time of a seek.
RUN_BYTES = 1 << 20
# Below this size, some 128x170 pixels, threads get in each other's way: an image is decoded sooner
# than the interpreter's lock is handed over. Twice that size they gain a third (tried with two
# processors and JPEG of 32x128 to 640x480).
_THREADED_BYTES = 1 << 16
# A damaged copy in a cache is dropped, and its records are read once more; another thread may have
# begun with the same copy.
_TRIES = 3
# What the allocator keeps for each thread that parses records of blocks, beside their bytes.
_THREAD_BYTES = 1_000_000

# The records that could not be used: the row of each, and why.
Fault = CorruptRecordError | UnsupportedRecordError
Faults = list[tuple[int, Fault]]


class IndexedFetcher(RecordSource):
    """Reads records of a list of shards, from any number of threads.

    With `skipped` a record that is damaged is counted there, and its row becomes SKIPPED; one that
    is whole, but of a kind that is not read, is an error always.
    """

    in_blocks = True
    begins = False

    def __init__(
        self,
        files: ShardFiles[IndexedShard],
        layout: ForeignLayout,
        *,
        verify: bool,
        skipped: Skipped | None = None,
    ) -> None:
        self._shards = files.shards
        self._layout = layout
        self._verify = verify
        self._skipped = skipped
        self._files = files
        self._decoders = Threads(DECODERS, "shardio-decode")
        self._sources = SourceMemory(layout.sources_bytes) if layout.sources_bytes else None
        self._requests = Threads(REQUESTS, "shardio-requests")

    def owned(self, records: int, *, in_blocks: bool) -> dict[str, int]:
        """Return the memory of indexes, and of records while they are decoded."""
        layout, threads = self._layout, BLOCKS_AT_ONCE if in_blocks else 1
        decoders = layout.decoders_bytes(max(threads, DECODERS if layout.encoded else 1))
        if not (in_blocks or self._files.are_local):
            decoders = max(decoders, layout.requests_bytes(min(records, REQUESTS)))
        if in_blocks:
            decoders += threads * _THREAD_BYTES
        return {"index": layout.index_bytes, "decoders": decoders + layout.sources_bytes}

    def bound(self, spare: int) -> None:
        """Refuse images whose decoding takes more than `spare` bytes beyond those of `owned`."""
        if self._sources is not None:
            self._sources.bound(spare)

    def close(self) -> None:
        """Close the files; they are opened again when they are needed."""
        self._files.close()

    def advise(self, ids: NDArray[np.int64]) -> bool:
        """Advise storage to read the records `ids`: a call for each run of neighbours."""
        if not self._files.are_local:
            return False
        for number, place, rows in self._runs(ids, slice(0, len(ids))):
            start, stop = self._range(number, place, rows.stop - rows.start)
            file = self._files.get(number)
            file.advise(start, stop - start)
        return True

    def fetch(self, ids: NDArray[np.int64], images: NDArray[Any]) -> NDArray[np.int64]:
        """Read the records `ids` into the first rows of `images`.

        Returns their integers, (records, numbers), the last one the row, SKIPPED for a record
        that was skipped. Raises CorruptRecordError for the first record that cannot be used where
        none is skipped.
        """
        integers = np.empty((len(ids), self._layout.numbers), dtype=np.int64)
        self._fill(ids, images, integers)
        return integers

    def block_memory(self, rows: int) -> ArrayMemory:
        """Return memory for `rows` records of blocks."""
        layout = self._layout
        dtype = layout.image_dtype
        return ArrayMemory(self._fill, rows, layout.image_bytes, layout.numbers, dtype)

    def _fill(
        self, ids: NDArray[np.int64], images: NDArray[Any], integers: NDArray[np.int64]
    ) -> None:
        for row, fault in self._read(ids, images, integers):
            if self._skipped is None or isinstance(fault, UnsupportedRecordError):
                raise fault
            self._skipped.add(str(fault))
            integers[row] = 0
            integers[row, -1] = SKIPPED

    def _read(
        self, ids: NDArray[np.int64], images: NDArray[Any], integers: NDArray[np.int64]
    ) -> Faults:
        """Fill the rows of `images` and `integers`; returns what went wrong, by row."""
        for _ in range(_TRIES):
            faults = self._read_once(ids, images, integers)
            again = False
            for row, fault in faults:
                if isinstance(fault, UnsupportedRecordError):
                    continue  # so it is in the shard itself
                (number,), _ = self._files.locate(ids[row : row + 1])
                again |= self._files.distrust(int(number), partial(_of_copy, fault))
            if not again:
                break
        return faults

    def _read_once(
        self, ids: NDArray[np.int64], images: NDArray[Any], integers: NDArray[np.int64]
    ) -> Faults:
        threads, parts = self._decoders, 1
        if not (self._files.are_local or (np.diff(ids) == 1).all()):
            threads, parts = self._requests, PARTS
        elif self._layout.encoded and self._layout.image_bytes >= _THREADED_BYTES:
            parts = 2 * DECODERS
        size = max(1, -(-len(ids) // parts))
        rows = [slice(at, min(at + size, len(ids))) for at in range(0, len(ids), size)]
        # Each part is counted as reading.
        read = self._files.counts.read()(self._read_part)
        work = partial(read, ids, images, integers)
        return [fault for faults in threads.map(work, rows) for fault in faults]

    def _read_part(
        self,
        ids: NDArray[np.int64],
        images: NDArray[Any],
        integers: NDArray[np.int64],
        part: slice,
    ) -> Faults:
        faults: Faults = []
        scaled = images.dtype != self._layout.image_dtype
        pixels = np.empty(self._layout.image_bytes, dtype=np.uint8) if scaled else None
        for number, place, rows in self._runs(ids, part):
            shard = self._shards[number]
            count = rows.stop - rows.start
            offsets = shard.index.offsets[place : place + count + 1].tolist()
            start = offsets[0]
            data = np.empty(offsets[-1] - start, dtype=np.uint8).data
            got = self._files.get(number).read_into(start, data)
            if got != len(data):
                raise DatasetError(
                    f"{shard.path} ends at byte {start + got}: it was cut while it was read"
                )
            for row, (at, end) in zip(range(rows.start, rows.stop), pairwise(offsets), strict=True):
                record = data[at - start : end - start]
                try:
                    integers[row] = self._take(
                        record, int(ids[row]), images[row] if pixels is None else pixels
                    )
                    if pixels is not None:
                        np.divide(pixels, np.float32(255), out=images[row])
                except (FormatError, UnsupportedRecordError) as error:
                    faults.append((row, _fault(shard, place + row - rows.start, at, error)))
        return faults

    def _take(self, record: memoryview, number: int, pixels: NDArray[Any]) -> list[int]:
        """Take the pixels and the integers from a whole record."""
        layout = self._layout
        data = record[HEADER_BYTES:-FOOTER_BYTES]
        if parse_header(bytes(record[:HEADER_BYTES])) != len(data):
            raise FormatError("its length or the CRC of its length is damaged")
        if self._verify:
            stored = int.from_bytes(record[-FOOTER_BYTES:], "little")
            found = masked_crc(data)
            if stored != found:
                raise FormatError(f"the CRC of its data is {found:08x}, but {stored:08x} is stored")
        features = parse_example(data, layout.names)
        integers = layout.integers_of(features, number)
        image = layout.image_of(features)
        if layout.encoded:
            begun = time.perf_counter()
            decode(image, pixels.reshape(layout.shape), layout.fit, self._sources)
            self._files.counts.decoded(time.perf_counter() - begun)
        else:
            layout.raw.take(image, pixels)
        return integers

    def _runs(self, ids: NDArray[np.int64], part: slice) -> Iterator[tuple[int, int, slice]]:
        """Cut a part of the rows into runs of neighbours: yield shard, first record in it, rows."""
        row = part.start
        for number, place, neighbours in self._files.runs(ids[part]):
            for count in self._cut(number, place, neighbours):
                yield number, place, slice(row, row + count)
                place, row = place + count, row + count

    def _cut(self, number: int, place: int, count: int) -> Iterator[int]:
        """Cut neighbours so that each piece is one record, or at most RUN_BYTES long."""
        while count:
            start, stop = self._range(number, place, count)
            piece = count
            if stop - start > RUN_BYTES and count > 1:
                ends = self._shards[number].index.offsets[place + 1 : place + count + 1]
                piece = max(1, int(np.searchsorted(ends, start + RUN_BYTES, side="right")))
            yield piece
            place, count = place + piece, count - piece

    def _range(self, number: int, place: int, count: int) -> tuple[int, int]:
        offsets = self._shards[number].index.offsets
        return int(offsets[place]), int(offsets[place + count])


def _of_copy(fault: Fault, path: str) -> str:
    return f"{path}, a copy: {fault}"


def _fault(
    shard: IndexedShard, record: int, at: int, error: FormatError | UnsupportedRecordError
) -> Fault:
    kind = CorruptRecordError if isinstance(error, FormatError) else UnsupportedRecordError
    fault = kind(f"{shard.path}: record {record} at byte {at}: {error}")
    fault.__cause__ = error
    return fault
