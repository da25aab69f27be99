"""Records by number: from the shards into arrays, every checksum compared."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import crc32c
import numpy as np
from numpy.typing import NDArray

from reader.open_files import MAX_OPEN, OpenFiles
from reader.pool import aligned
from shardio.errors import CorruptRecordError, DatasetError
from shardio.format.framing import FOOTER_BYTES, frame_header, mask_crc, mask_crcs
from shardio.format.layout import RecordLayout
from shardio.format.manifest import ShardEntry
from shardio.storage import RangeReader, storage_for

# Three buffers a record and at most 1,024 a system call.
_RUN = 341


@dataclass(frozen=True)
class ShardFile:
    """A shard as it was found: where, how many records, and what the manifest says of it."""

    path: str
    records: int
    entry: ShardEntry | None


class Slot:
    """Room for `records` records, their pixels together and everything else beside them.

    `array` is (records, image_bytes): a batch in its final form. A record is read with one system
    call that scatters it to its head, its pixels and its tail.
    """

    def __init__(
        self, layout: RecordLayout, records: int, array: NDArray[np.uint8] | None = None
    ) -> None:
        rest = layout.tail_bytes + FOOTER_BYTES
        if array is None:
            array = aligned(records * layout.image_bytes).reshape(records, layout.image_bytes)
        self.array = array
        self.heads = np.empty((records, len(layout.head)), dtype=np.uint8)
        self.rests = np.empty((records, rest), dtype=np.uint8)
        # Making a view costs as much as a checksum, so all are made once.
        self.pixels = [row.data for row in self.array]
        self.tails = [row[: layout.tail_bytes].data for row in self.rests]
        self.pieces = [
            row.data
            for three in zip(self.heads, self.array, self.rests, strict=True)
            for row in three
        ]
        self.records = [self.pieces[at : at + 3] for at in range(0, len(self.pieces), 3)]


class Fetcher:
    """Reads records of a list of shards, from any number of threads."""

    def __init__(self, shards: list[ShardFile], layout: RecordLayout, *, verify: bool) -> None:
        self._shards = shards
        self._layout = layout
        self._verify = verify
        self._ends = np.cumsum([shard.records for shard in shards])
        self._starts = self._ends - [shard.records for shard in shards]
        self._head = np.frombuffer(layout.head, dtype=np.uint8)
        self._prefix_crc = crc32c.crc32c(layout.prefix)
        self._files = OpenFiles(self._open)
        self._touched: set[int] = set()

    def fetch(self, ids: NDArray[np.int64], slot: Slot) -> NDArray[np.int64]:
        """Read the records `ids` into the first rows of `slot`.

        Neighbours are read with one system call. Returns their integers, (records, heads + 1), the
        last one the row. Raises CorruptRecordError for the first damaged record.
        """
        stride = self._layout.stride
        numbers = np.searchsorted(self._ends, ids, side="right")
        offsets = ((ids - self._starts[numbers]) * stride).tolist()
        distinct = np.unique(numbers).tolist()
        # Held for the batch, that is quicker; but no more files than may be open.
        files = {number: self._files.get(number) for number in distinct[: MAX_OPEN // 2]}
        shards = numbers.tolist()
        for first, last in _runs(ids, numbers):
            number = shards[first]
            if last - first == 1:  # the usual case of a shuffled order, so it is kept short
                pieces, size = slot.records[first], stride
            else:
                pieces, size = slot.pieces[3 * first : 3 * last], (last - first) * stride
            file = files.get(number) or self._files.get(number)
            got = file.read_into(offsets[first], pieces, size)
            if got != size:
                raise DatasetError(
                    f"{self._shards[number].path} ends at byte {offsets[first] + got}, within "
                    f"record {(offsets[first] + got) // stride}: it was cut while it was read"
                )
        self._check(ids, slot)
        return self._layout.integers(slot.rests[: len(ids), :-FOOTER_BYTES])

    def _check(self, ids: NDArray[np.int64], slot: Slot) -> None:
        """Compare heads and checksums of the records in `slot`."""
        count = len(ids)
        wrong = (slot.heads[:count] != self._head).any(axis=1)
        if self._verify:
            crc = crc32c.crc32c
            start = self._prefix_crc
            found = np.array(
                [
                    crc(tail, crc(pixels, start))
                    for pixels, tail in zip(slot.pixels[:count], slot.tails[:count], strict=True)
                ],
                dtype=np.uint32,
            )
            stored = slot.rests[:count, -FOOTER_BYTES:].copy().view("<u4")[:, 0]
            wrong |= mask_crcs(found) != stored
        if wrong.any():
            index = int(np.flatnonzero(wrong)[0])
            number, record = self.locate(int(ids[index]))
            data = b"".join(bytes(piece) for piece in slot.pieces[3 * index : 3 * index + 3])
            self._explain(number, record, data)

    def locate(self, id_: int) -> tuple[int, int]:
        """Return the shard of a record and its number within the shard."""
        number = int(np.searchsorted(self._ends, id_, side="right"))
        return number, id_ - int(self._starts[number])

    def _open(self, number: int) -> RangeReader:
        """Open a shard; at its first touch, hold its first and last record against the manifest."""
        shard = self._shards[number]
        reader = storage_for(shard.path).open_ranges(shard.path)
        if number not in self._touched:
            try:
                self._touch(number, reader)
            except BaseException:
                reader.close()
                raise
            self._touched.add(number)
        return reader

    def _touch(self, number: int, reader: RangeReader) -> None:
        shard, stride = self._shards[number], self._layout.stride
        expected = (
            {0: None, shard.records - 1: None}
            if shard.entry is None
            else {
                0: shard.entry.first_crc,
                shard.records - 1: shard.entry.last_crc,
            }
        )
        for record, crc in expected.items():
            data = bytearray(stride)
            if reader.read_into(record * stride, [memoryview(data)], stride) != stride:
                raise DatasetError(f"{shard.path} is shorter than when it was opened")
            if self._fault(bytes(data)) is not None:
                self._explain(number, record, bytes(data))
            stored = int.from_bytes(data[-FOOTER_BYTES:], "little")
            if crc is not None and stored != crc:
                raise DatasetError(
                    f"{shard.path} is not the shard that dataset.json describes: record {record} "
                    f"at byte {record * stride} has CRC {stored:08x}, not {crc:08x}. It was "
                    "replaced, or belongs to another conversion"
                )

    def _fault(self, data: bytes) -> tuple[int, str] | None:
        """Return the byte within a whole record and what is wrong with it, None if nothing is."""
        layout = self._layout
        header = frame_header(layout.data_bytes)
        if data[: len(header)] != header:
            return 0, "its length or the CRC of its length is damaged"
        stored = int.from_bytes(data[-FOOTER_BYTES:], "little")
        found = mask_crc(crc32c.crc32c(data[len(header) : -FOOTER_BYTES]))
        if stored != found:
            return len(header), f"the CRC of its data is {found:08x}, but {stored:08x} is stored"
        if not data.startswith(layout.head):
            return len(header), "it is a record of another layout"
        return None

    def _explain(self, number: int, record: int, data: bytes) -> None:
        """Raise the error for a bad record."""
        at, what = self._fault(data) or (0, "it is damaged")
        offset = record * self._layout.stride
        raise CorruptRecordError(
            f"{self._shards[number].path}: record {record} at byte {offset + at}: {what}"
        )


def _runs(ids: NDArray[np.int64], numbers: NDArray[np.integer[Any]]) -> list[tuple[int, int]]:
    """Cut `ids` into runs of neighbours in one shard, each short enough for one system call."""
    breaks = np.flatnonzero((np.diff(ids) != 1) | (np.diff(numbers) != 0)) + 1
    edges = [0, *breaks.tolist(), len(ids)]
    if len(breaks) == len(ids) - 1:
        return list(pairwise(edges))
    return [
        (first, min(first + _RUN, last))
        for start, last in pairwise(edges)
        for first in range(start, last, _RUN)
    ]
