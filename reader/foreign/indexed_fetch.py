"""Records of any size by number: found by their index, parsed, and their images decoded."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from reader.fetch.pool import Room
from reader.fetch.skipped import SKIPPED, Skipped
from reader.fetch.source import Fetch, LaterFetch
from reader.files.shard import IndexedShard
from reader.files.shard_files import ShardFiles
from reader.foreign.decode import decode
from reader.foreign.decode_threads import DECODERS, DecodeThreads
from reader.foreign.layout import ForeignLayout
from reader.foreign.shard_index import beside
from shardio.errors import (
    CorruptRecordError,
    DatasetError,
    FormatError,
    UnsupportedRecordError,
)
from shardio.format.example import parse_example
from shardio.format.framing import (
    FOOTER_BYTES,
    FRAMING_BYTES,
    HEADER_BYTES,
    masked_crc,
    parse_header,
)
from shardio.storage import RangeReader

# Neighbours that are read with one call: what a disk gives in the time of a seek.
RUN_BYTES = 1 << 20
# Below this size, some 128x170 pixels, threads get in each other's way: an image is decoded sooner
# than the interpreter's lock is handed over. Twice that size they gain a third (tried with two
# processors and JPEG of 32x128 to 640x480).
_THREADED_BYTES = 1 << 16
# A damaged copy in a cache is dropped, and its records are read once more; another thread may have
# begun with the same copy.
_TRIES = 3

# The records that could not be used: the row of each, and why.
Fault = CorruptRecordError | UnsupportedRecordError
Faults = list[tuple[int, Fault]]


class IndexedFetcher:
    """Reads records of a list of shards, from any number of threads.

    With `skipped` a record that is damaged is counted there, and its row becomes SKIPPED; one that
    is whole, but of a kind that is not read, is an error always.
    """

    scales = False
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
        self._threads = DecodeThreads()

    def room(self, records: int, dtype: str = "uint8") -> Room:
        """Make room for `records` records."""
        return Room(records, self._layout.image_bytes, dtype)

    def close(self) -> None:
        """Close the files; they are opened again when they are needed."""
        self._files.close()

    def advise(self, ids: NDArray[np.int64]) -> bool:
        """Let storage begin to read the records `ids`: a call for each run of neighbours."""
        for number, place, rows in self._runs(ids, slice(0, len(ids))):
            start, stop = self._range(number, place, rows.stop - rows.start)
            file = self._files.get(number)
            file.reader.advise(start, stop - start)
        return True

    def fetch(self, ids: NDArray[np.int64], room: Room) -> NDArray[np.int64]:
        """Read the records `ids` into the first rows of `room`.

        Returns their integers, (records, numbers), the last one the row, SKIPPED for a record
        that was skipped. Raises CorruptRecordError for the first record that cannot be used where
        none is skipped.
        """
        integers = np.empty((len(ids), self._layout.numbers), dtype=np.int64)
        self._fill(ids, room.array, integers)
        return integers

    def begin(self, ids: NDArray[np.int64], room: Room) -> Fetch:
        """Fetch when the result is asked for."""
        return LaterFetch(self.fetch, ids, room)

    def fetch_run(self, first: int, pixels: NDArray[np.uint8], integers: NDArray[np.int64]) -> None:
        """Fill `pixels` and `integers` with neighbours; the row of a skipped one is SKIPPED."""
        self._fill(np.arange(first, first + len(pixels)), pixels, integers)

    def _fill(
        self, ids: NDArray[np.int64], pixels: NDArray[np.uint8], integers: NDArray[np.int64]
    ) -> None:
        for row, fault in self._read(ids, pixels, integers):
            if self._skipped is None or isinstance(fault, UnsupportedRecordError):
                raise fault
            self._skipped.add(str(fault))
            integers[row] = 0
            integers[row, -1] = SKIPPED

    def _read(
        self, ids: NDArray[np.int64], pixels: NDArray[np.uint8], integers: NDArray[np.int64]
    ) -> Faults:
        """Fill the rows of `pixels` and `integers`; returns what went wrong, by row."""
        for _ in range(_TRIES):
            faults = self._read_once(ids, pixels, integers)
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
        self, ids: NDArray[np.int64], pixels: NDArray[np.uint8], integers: NDArray[np.int64]
    ) -> Faults:
        threaded = self._layout.encoded and self._layout.image_bytes >= _THREADED_BYTES
        size = -(-len(ids) // (2 * DECODERS)) if threaded else len(ids)
        rows = [slice(at, min(at + size, len(ids))) for at in range(0, len(ids), max(1, size))]
        work = partial(self._read_rows, ids, pixels, integers)
        return [fault for faults in self._threads.map(work, rows) for fault in faults]

    def _read_rows(
        self,
        ids: NDArray[np.int64],
        pixels: NDArray[np.uint8],
        integers: NDArray[np.int64],
        part: slice,
    ) -> Faults:
        faults: Faults = []
        for number, place, rows in self._runs(ids, part):
            shard = self._shards[number]
            count = rows.stop - rows.start
            offsets = shard.index.offsets[place : place + count + 1].tolist()
            start = offsets[0]
            data = np.empty(offsets[-1] - start, dtype=np.uint8).data
            got = self._files.get(number).read_into(start, [data], len(data))
            if got != len(data):
                raise DatasetError(
                    f"{shard.path} ends at byte {start + got}: it was cut while it was read"
                )
            for row, (at, end) in zip(range(rows.start, rows.stop), pairwise(offsets), strict=True):
                record = data[at - start : end - start]
                try:
                    integers[row] = self._take(record, int(ids[row]), pixels[row])
                except (FormatError, UnsupportedRecordError) as error:
                    faults.append((row, _fault(shard, place + row - rows.start, at, error)))
        return faults

    def _take(self, record: memoryview, number: int, pixels: NDArray[np.uint8]) -> list[int]:
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
            decode(image, pixels.reshape(layout.shape))
        elif len(image) != layout.image_bytes:
            raise UnsupportedRecordError(
                f"its image has {len(image)} bytes, but those of the set have {layout.image_bytes}"
            )
        else:
            pixels[:] = np.frombuffer(image, dtype=np.uint8)
        return integers

    def _runs(self, ids: NDArray[np.int64], part: slice) -> Iterator[tuple[int, int, slice]]:
        """Cut a part of the rows into runs of neighbours: yield shard, first record in it, rows."""
        numbers, places = self._files.locate(ids[part])
        edges = np.flatnonzero((np.diff(places) != 1) | (np.diff(numbers) != 0)) + 1
        for first, last in pairwise([0, *edges.tolist(), len(numbers)]):
            number, place, row = int(numbers[first]), int(places[first]), part.start + first
            for count in self._cut(number, place, last - first):
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


def touch(shard: IndexedShard, reader: RangeReader) -> None:
    """Hold the first and the last record of a shard against its index and the manifest."""
    entry = shard.entry
    crcs = (None, None) if entry is None else (entry.first_crc, entry.last_crc)
    for record, crc in zip((0, shard.records - 1), crcs, strict=True):
        start, stop = shard.index.offsets[record : record + 2].tolist()
        data = np.zeros(stop - start, dtype=np.uint8).data
        reader.read_into(start, [data], len(data))
        length = parse_header(bytes(data[:HEADER_BYTES]))
        if length is not None and length != len(data) - FRAMING_BYTES:
            raise DatasetError(
                f"{shard.path}: record {record} at byte {start} is not as long as its index "
                f"says: the index is of another file; remove {beside(shard.path)}"
            )
        stored = int.from_bytes(data[-FOOTER_BYTES:], "little")
        # A damaged one is named, or skipped, when it is read.
        if crc not in (None, stored) and masked_crc(data[HEADER_BYTES:-FOOTER_BYTES]) == stored:
            raise DatasetError(
                f"{shard.path} is not the shard that dataset.json describes: record {record} "
                f"at byte {start} has CRC {stored:08x}, not {crc:08x}. It was replaced, or "
                "belongs to another conversion"
            )


def _of_copy(fault: Fault, path: str) -> str:
    return f"{path}, a copy: {fault}"


def _fault(
    shard: IndexedShard, record: int, at: int, error: FormatError | UnsupportedRecordError
) -> Fault:
    kind = CorruptRecordError if isinstance(error, FormatError) else UnsupportedRecordError
    fault = kind(f"{shard.path}: record {record} at byte {at}: {error}")
    fault.__cause__ = error
    return fault
