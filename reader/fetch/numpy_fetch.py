"""Records of fixed size by number: from the shards into arrays, every checksum compared."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import chain

import crc32c
import numpy as np
from numpy.typing import NDArray

from reader.fetch.pool import aligned
from reader.fetch.skipped import SKIPPED, Skipped
from reader.fetch.source import Fetch, LaterFetch
from reader.files.record_check import RecordCheck
from reader.files.shard import ShardFile
from reader.files.shard_files import ShardFiles
from shardio.errors import DatasetError, StorageError, UnsupportedRecordError
from shardio.format.framing import FOOTER_BYTES, mask_crcs
from shardio.format.layout import RecordLayout
from shardio.storage import storage_for

# Three buffers a record and at most 1,024 a system call.
_MOST_RUN = 341
# What was read is still in the processor's cache when its checksum is computed.
_RUN_BYTES = 1 << 19
# A damaged copy in a cache is dropped, and its records are read once more; another thread may have
# begun with the same copy.
_TRIES = 3


class _Margins:
    """Room for what stands around the pixels of `records` records, and views of it.

    Making a view costs as much as a checksum, so all are made once.
    """

    def __init__(self, layout: RecordLayout, records: int) -> None:
        self.heads = np.empty((records, len(layout.head)), dtype=np.uint8)
        self.rests = np.empty((records, layout.tail_bytes + FOOTER_BYTES), dtype=np.uint8)
        self.tails = [row[: layout.tail_bytes].data for row in self.rests]
        self.head_views = [row.data for row in self.heads]
        self.rest_views = [row.data for row in self.rests]


class Slot(_Margins):
    """Room for `records` records, their pixels together and everything else beside them.

    `array` is (records, image_bytes): a batch in its final form. A record is read with one system
    call that scatters it to its head, its pixels and its tail.
    """

    def __init__(self, layout: RecordLayout, records: int) -> None:
        super().__init__(layout, records)
        size = layout.image_bytes
        self.array = aligned(records * size).reshape(records, size)
        self.pixels = [row.data for row in self.array]
        self.records = list(zip(self.head_views, self.pixels, self.rest_views, strict=True))
        self.pieces = [piece for record in self.records for piece in record]


class Fetcher:
    """Reads records of the shards that `files` opens, from any number of threads.

    With `skipped` a damaged record is counted there, and its row becomes SKIPPED.
    """

    scales = False
    in_blocks = True
    begins = False

    def __init__(
        self,
        files: ShardFiles[ShardFile],
        layout: RecordLayout,
        *,
        verify: bool,
        skipped: Skipped | None = None,
    ) -> None:
        self._layout = layout
        self._verify = verify
        self._skipped = skipped
        self._head = np.frombuffer(layout.head, dtype=np.uint8)
        self._prefix_crc = crc32c.crc32c(layout.prefix)
        self._run = max(1, min(_MOST_RUN, _RUN_BYTES // layout.stride))
        self._check = RecordCheck(layout)
        self.files = files

    def room(self, records: int, dtype: str = "uint8") -> Slot:
        """Make room for the pixels of `records` records."""
        return Slot(self._layout, records)

    def close(self) -> None:
        """Close the files; they are opened again when they are needed."""
        self.files.close()

    def advise(self, ids: NDArray[np.int64]) -> bool:
        """Let storage begin to read the records `ids`: a call for each run of neighbours."""
        stride = self._layout.stride
        for number, place, count in self.files.runs(ids):
            file = self.files.get(number)
            file.reader.advise(place * stride, count * stride)
        return True

    def fetch(self, ids: NDArray[np.int64], room: Slot) -> NDArray[np.int64]:
        """Read the records `ids` into the first rows of `room`.

        Neighbours are read with one system call. Returns their integers, (records, numbers), the
        last one the row, SKIPPED for a damaged one that was skipped. Raises CorruptRecordError for
        the first damaged record where none is skipped.
        """
        count = len(ids)

        def read(row: int) -> bytes:
            return b"".join(room.records[row])

        for _ in range(_TRIES):
            crcs: list[int] = []
            if count > 1 and ids[-1] - ids[0] == count - 1 and (np.diff(ids) == 1).all():
                self._fetch_neighbours(int(ids[0]), count, room, crcs)
            elif count:
                self._fetch_each(ids, room, crcs)
            wrong = self._wrong(room, count, crcs)
            if not (wrong.any() and self._distrust(ids, wrong, read)):
                break
        integers = self._layout.integers(room.rests[:count, :-FOOTER_BYTES])
        if wrong.any():
            integers[self._skip(ids, wrong, read), -1] = SKIPPED
        return integers

    def begin(self, ids: NDArray[np.int64], room: Slot) -> Fetch:
        """Fetch when the result is asked for."""
        return LaterFetch(self.fetch, ids, room)

    def fetch_run(self, first: int, pixels: NDArray[np.uint8], integers: NDArray[np.int64]) -> None:
        """Fill `pixels` and `integers` with neighbours, read straight into place."""
        stride, size = self._layout.stride, self._layout.image_bytes
        margins = _Margins(self._layout, min(self._run, len(pixels)))
        flat = pixels.reshape(-1).data
        done = 0
        for number, place, count in self.files.parts(first, len(pixels)):
            for at in range(place, place + count, self._run):
                n = min(self._run, place + count - at)
                rows = [flat[i * size : (i + 1) * size] for i in range(done, done + n)]
                records = list(
                    zip(margins.head_views[:n], rows, margins.rest_views[:n], strict=True)
                )
                ids = np.arange(first + done, first + done + n)
                for _ in range(_TRIES):
                    file = self.files.get(number)
                    got = file.read_into(at * stride, [*chain(*records)], n * stride)
                    if got != n * stride:
                        self._was_cut(number, at * stride + got)
                    crcs = self._crcs(rows, margins.tails[:n]) if self._verify else []
                    wrong = self._wrong(margins, n, crcs)
                    whole = [b"".join(record) for record in records] if wrong.any() else []
                    if not (whole and self._distrust(ids, wrong, whole.__getitem__)):
                        break
                values = self._layout.integers(margins.rests[:n, :-FOOTER_BYTES])
                if wrong.any():
                    values[self._skip(ids, wrong, whole.__getitem__), -1] = SKIPPED
                integers[done : done + n] = values
                done += n

    def read_run(self, first: int, memory: memoryview) -> None:
        """Fill `memory` with neighbours as they are stored; nothing of them is checked."""
        stride, done = self._layout.stride, 0
        for number, place, count in self.files.parts(first, len(memory) // stride):
            size = count * stride
            buffer = memory[done : done + size]
            got = self.files.get(number).read_into(place * stride, [buffer], size)
            if got != size:
                self._was_cut(number, place * stride + got)
            done += size

    def _wrong(self, margins: _Margins, count: int, crcs: list[int]) -> NDArray[np.bool_]:
        """Return which of the first `count` records are damaged; `crcs` are those computed."""
        wrong = (margins.heads[:count] != self._head).any(axis=1)
        if self._verify:
            stored = margins.rests[:count, -FOOTER_BYTES:].copy().view("<u4")[:, 0]
            wrong |= mask_crcs(np.array(crcs, dtype=np.uint32)) != stored
        return np.asarray(wrong)

    def _crcs(self, pixels: list[memoryview], tails: list[memoryview]) -> list[int]:
        """Compute the CRC32C of the data of records."""
        crc, prefix = crc32c.crc32c, self._prefix_crc
        return [crc(tail, crc(image, prefix)) for image, tail in zip(pixels, tails, strict=True)]

    def _fetch_neighbours(self, first: int, count: int, room: Slot, crcs: list[int]) -> None:
        """Read neighbours, as many with a call as fit in the processor's cache."""
        stride, done = self._layout.stride, 0
        for number, place, length in self.files.parts(first, count):
            file = self.files.get(number)
            for at in range(0, length, self._run):
                start, n = done + at, min(self._run, length - at)
                offset = (place + at) * stride
                got = file.read_into(offset, room.pieces[3 * start : 3 * (start + n)], n * stride)
                if got != n * stride:
                    self._was_cut(number, offset + got)
                if self._verify:
                    stop = start + n
                    crcs += self._crcs(room.pixels[start:stop], room.tails[start:stop])
            done += length

    def _fetch_each(self, ids: NDArray[np.int64], room: Slot, crcs: list[int]) -> None:
        """Read records that are spread over the set, each with a call."""
        stride = self._layout.stride
        numbers, places = self.files.locate(ids)
        distinct = sorted(set(numbers.tolist()))
        # Held for the batch, that is quicker; but no more files than may be open.
        files = {number: self.files.get(number) for number in distinct[: self.files.most // 2]}
        shards, offsets = numbers.tolist(), (places * stride).tolist()
        for number, offset, pieces in zip(shards, offsets, room.records, strict=False):
            file = files.get(number) or self.files.get(number)
            got = file.read_into(offset, pieces, stride)
            if got != stride:
                self._was_cut(number, offset + got)
        if self._verify:
            crcs += self._crcs(room.pixels[: len(ids)], room.tails[: len(ids)])

    def _distrust(
        self, ids: NDArray[np.int64], wrong: NDArray[np.bool_], read: Callable[[int], bytes]
    ) -> bool:
        """Give up the copies that hold wrong records; returns whether to read these again."""
        again = False
        for row in np.flatnonzero(wrong).tolist():
            (number,), (record,) = self.files.locate(ids[row : row + 1])
            describe = partial(self._check.damage, record=int(record), data=read(row))
            again |= self.files.distrust(int(number), describe)
        return again

    def _skip(
        self,
        ids: NDArray[np.int64],
        wrong: NDArray[np.bool_],
        read: Callable[[int], bytes],
    ) -> NDArray[np.int64]:
        """Raise the error for the first wrong record, or count each and return their rows.

        `read` returns the bytes of a row.
        """
        rows = np.flatnonzero(wrong)
        for row in rows.tolist():
            (number,), (record,) = self.files.locate(ids[row : row + 1])
            path = self.files.shards[number].path
            damage = self._check.damage(path, int(record), read(row))
            if self._skipped is None or isinstance(damage, UnsupportedRecordError):
                raise damage
            self._skipped.add(str(damage))
        return rows

    def _was_cut(self, number: int, end: int) -> None:
        """Raise the error for a shard that has no byte `end`."""
        path = self.files.shards[number].path
        with suppress(StorageError):
            end = min(end, storage_for(path).stat(path).size)
        raise DatasetError(
            f"{path} ends at byte {end}, within record {end // self._layout.stride}: it was cut "
            "while it was read"
        )
