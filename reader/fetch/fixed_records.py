"""Records of fixed size, found by their number alone, and read from any storage.

They are read as they are stored, then decoded.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from reader.core.compiled import has_core
from reader.fetch.core_fetch import CoreDecoder, CoreFetcher
from reader.fetch.decoder import Decoder, NumpyDecoder
from reader.fetch.pool import aligned
from reader.fetch.record_kind import ExampleForm, RecordKind
from reader.fetch.skipped import SKIPPED, Skipped
from reader.fetch.source import RecordSource
from reader.files.mapped_files import Maps
from reader.files.record_check import damage, touch
from reader.files.shard import ShardFile
from reader.files.shard_files import ShardFiles
from reader.files.stored import REQUESTS, StoredRecords
from shardio.cached_property import cached_property
from shardio.errors import UnsupportedRecordError
from shardio.format.layout import RecordLayout
from shardio.storage import RangeReader

# A damaged copy in a cache is dropped, and its records are read once more; another thread may have
# begun with the same copy.
_TRIES = 3


@dataclass(frozen=True)
class FixedRecords:
    """Records of our own with raw pixels; all of each is read, and no index is needed."""

    layout: RecordLayout
    choice = ()
    image_dtype: ClassVar[Literal["uint8"]] = "uint8"
    counts_rows = False
    example = ExampleForm()

    @property
    def record_bytes(self) -> int:
        """Size of a record."""
        return self.layout.stride

    def touch(self, shard: ShardFile, reader: RangeReader, *, skips: bool) -> None:
        """Hold the first and the last record of a shard against the manifest."""
        touch(self.layout, shard, reader, skips=skips)

    def source(
        self, files: ShardFiles[ShardFile], *, verify: bool, skipped: Skipped | None
    ) -> FixedFetcher:
        """Return what reads them, through the compiled code if it is there."""
        return FixedFetcher(files, self.layout, verify=verify, skipped=skipped, compiled=has_core())

    def joined(self, others: Sequence[RecordKind]) -> FixedRecords:
        """Return this kind: all records of it are the same."""
        return self

    def in_words(self) -> list[str]:
        """Say how large a record is."""
        return [f"{self.layout.stride:,} bytes a record"]

    def check_index(self, shard: ShardFile) -> None:
        """Do nothing."""

    def wrong_index(self, shard: ShardFile) -> str:
        """Say nothing."""
        return ""


class FixedFetcher(RecordSource):
    """Reads records of the shards that `files` opens, from any number of threads.

    With `skipped` a damaged record is counted there, and its row becomes SKIPPED. Without
    `compiled` code NumPy decodes.
    """

    in_blocks = True
    begins = False

    def __init__(
        self,
        files: ShardFiles[ShardFile],
        layout: RecordLayout,
        *,
        verify: bool,
        skipped: Skipped | None = None,
        compiled: bool,
    ) -> None:
        self._files = files
        self._layout = layout
        self._skipped = skipped
        self._core = CoreDecoder(layout, verify=verify) if compiled else None
        self._decoder: Decoder = self._core or NumpyDecoder(layout, verify=verify)

    @cached_property
    def _stored(self) -> StoredRecords:
        return StoredRecords(self._files, self._layout.stride)

    def mapped(self, maps: Maps) -> RecordSource:
        """Return the source for files of this machine: it needs the compiled code."""
        if self._core is None:
            return self
        return CoreFetcher(self, self._files, self._core, maps)

    def owned(self, records: int, *, in_blocks: bool) -> dict[str, int]:
        """Return the memory for a batch while it is decoded."""
        copies = (0 if in_blocks else 1) + (0 if self._core else 1)
        at_once = 0 if in_blocks or self._files.are_local else min(records, REQUESTS)
        return {"records": (copies * records + at_once) * self._layout.stride}

    def close(self) -> None:
        """Close the files; they are opened again when they are needed."""
        self._files.close()

    def bound(self, spare: int) -> None:
        """Do nothing: all records are of one size."""

    def advise(self, ids: NDArray[np.int64]) -> bool:
        """Advise storage to read the records `ids`: a call for each run of neighbours."""
        if not self._files.are_local:
            return False
        stride = self._layout.stride
        for number, place, count in self._files.runs(ids):
            self._files.get(number).advise(place * stride, count * stride)
        return True

    def fetch(self, ids: NDArray[np.int64], images: NDArray[Any]) -> NDArray[np.int64]:
        """Read the records `ids` into the first rows of `images`.

        Returns their integers, (records, numbers), the last one the row, SKIPPED for a damaged
        one that was skipped. Raises CorruptRecordError for the first damaged record where none is
        skipped.
        """
        memory = np.empty((len(ids), self._layout.stride), dtype=np.uint8)
        rows = np.arange(len(ids))
        for _ in range(_TRIES):
            self._stored.read(ids, memory)
            integers, wrong = self.decode(memory, rows, images)
            if not (len(wrong) and self._distrust(ids[wrong], memory[wrong])):
                break
        if len(wrong):
            self._skip(ids[wrong], memory[wrong])
            integers[wrong, -1] = SKIPPED
        return integers

    def block_memory(self, rows: int) -> FixedMemory:
        """Return memory for `rows` records of blocks."""
        return FixedMemory(self, self._stored, rows, self._layout.stride)

    def decode(
        self, memory: NDArray[np.uint8], rows: NDArray[np.int64], images: NDArray[Any]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Check and decode rows, as `Decoder` does."""
        begun = time.perf_counter()
        found = self._decoder.decode(memory, rows, images)
        self._files.counts.add(decoding=time.perf_counter() - begun)
        return found

    def _distrust(self, ids: NDArray[np.int64], records: NDArray[np.uint8]) -> bool:
        """Give up the copies that hold wrong records; returns whether to read these again."""
        again = False
        for number, record, data in zip(*self._files.locate(ids), records, strict=True):
            describe = partial(damage, self._layout, record=int(record), data=data.tobytes())
            again |= self._files.distrust(int(number), describe)
        return again

    def _skip(self, ids: NDArray[np.int64], records: NDArray[np.uint8]) -> None:
        """Raise the error for the first wrong record, or count each."""
        for number, record, data in zip(*self._files.locate(ids), records, strict=True):
            path = self._files.shards[int(number)].path
            fault = damage(self._layout, path, int(record), data.tobytes())
            if self._skipped is None or isinstance(fault, UnsupportedRecordError):
                raise fault
            self._skipped.add(str(fault))


class FixedMemory:
    """Blocks of records as they are stored; checksums are compared when a record is used."""

    def __init__(self, source: FixedFetcher, stored: StoredRecords, rows: int, stride: int) -> None:
        self._source = source
        self._stored = stored
        self._memory = aligned(rows * stride).reshape(rows, stride)

    def fill(self, row: int, first: int, count: int) -> None:
        """Read neighbours with one request, or as many as shards."""
        self._stored.read_run(first, self._memory[row : row + count])

    def gather(
        self, rows: NDArray[np.int64], ids: NDArray[np.int64], images: NDArray[Any]
    ) -> NDArray[np.int64]:
        """Decode rows; what is wrong with one is seen when they are read again."""
        integers, wrong = self._source.decode(self._memory, rows, images)
        return self._source.fetch(ids, images) if len(wrong) else integers
