"""Records of fixed size by number, from files of this machine, read by compiled code."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from reader.core.compiled import core
from reader.fetch.source import BlockMemory, Fetch, LaterFetch, RecordSource
from reader.fetch.waiting import Taken, Waiting
from reader.files.mapped_files import MappedFiles, Maps
from reader.files.open_files import is_crowded, register
from reader.files.shard import ShardFile
from reader.files.shard_files import ShardFiles
from reader.stats.stream_counts import StreamCounts
from shardio.errors import ShardioError
from shardio.format.layout import RecordLayout

# Runs of neighbours that are read ahead at once: some windows of blocks.
_ADVICE = 128
_NONE = np.empty(0, dtype=np.int64)
_NOTHING = Taken(0.0, 0)


class CoreDecoder:
    """Decodes records in memory with compiled code."""

    def __init__(self, layout: RecordLayout, *, verify: bool) -> None:
        self.layout = layout
        self.verify = verify
        # The layout as compiled code takes it.
        self.known = core.layout(
            layout.head,
            layout.image_bytes,
            layout.tail_bytes,
            layout.number_offsets,
            layout.number_bytes,
            2,
        )
        # Descriptors and offsets for records in memory, which have no file.
        self._no_files = np.empty(0, dtype=np.int32)
        self._no_offsets = np.empty(0, dtype=np.int64)

    def integers(self, count: int) -> NDArray[np.int64]:
        """Return an array for the integers of `count` records."""
        return np.empty((count, self.layout.numbers), dtype=np.int64)

    def decode(
        self, memory: NDArray[np.uint8], rows: NDArray[np.int64], images: NDArray[Any]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Decode rows."""
        count = len(rows)
        integers, faults = self.integers(count), np.empty(count, dtype=np.int64)
        if len(self._no_files) < count:
            self._no_files = np.full(count, -1, dtype=np.int32)
            self._no_offsets = np.zeros(count, dtype=np.int64)
        wrong = core.read(
            self.known,
            self._no_files[:count],
            self._no_offsets[:count],
            memory.ctypes.data + rows * self.layout.stride,
            images,
            images.dtype == np.float32,
            integers,
            faults,
            self.verify,
        )
        return integers, np.flatnonzero(faults) if wrong else _NONE


@dataclass(eq=False)
class CoreFetch:
    """Records that are being read, by `begun`, into `images` and `integers`.

    What compiled code cannot read, or finds damaged, is left to `source`.
    The files stay open for it until it is known to be done, which `wait` makes sure of.
    """

    source: RecordSource
    waiting: Waiting
    counts: StreamCounts
    ids: NDArray[np.int64]
    images: NDArray[Any]
    integers: NDArray[np.int64]
    begun: object | None
    taken: Taken = _NOTHING
    wrong: int = 0

    def wait(self) -> None:
        """Wait until nothing is read any more."""
        begun = self.begun
        if begun is not None:
            # More than one thread may do this, and finds the same.
            self.wrong, *taken = core.wait(begun)
            self.taken = Taken(*taken)
            self.begun = None

    def result(self) -> NDArray[np.int64]:
        """Wait for the records; returns their integers."""
        self.wait()
        if self.wrong:
            return self.source.fetch(self.ids, self.images)
        taken = self.taken
        self.counts.add(taken.seconds, 0.0, taken.cpu)
        self.waiting.saw(taken, len(self.ids))
        return self.integers


class CoreFetcher(RecordSource):
    """Reads records as `source` does, which reads the same `files`, from any number of threads.

    Whatever is not as it should be is left to `source`: to read what compiled code could not, to
    name a damaged record, or to replace it.
    """

    in_blocks = False

    def __init__(
        self,
        source: RecordSource,
        files: ShardFiles[ShardFile],
        decoder: CoreDecoder,
        maps: Maps,
    ) -> None:
        self._source = source
        self._shards = files
        self._decoder = decoder
        self._stride = decoder.layout.stride
        self._files = MappedFiles(files, self._stride, maps)
        self.begins = self._files.all_at_once
        self._waiting = Waiting()
        # What comes out of it is done, or given up.
        self._advice: deque[object] = deque(maxlen=min(_ADVICE, self._files.most))
        self._under_way: WeakValueDictionary[int, CoreFetch] = WeakValueDictionary()
        register(self)

    def owned(self, records: int, *, in_blocks: bool) -> dict[str, int]:
        """Return nothing: a batch is read straight into its place."""
        return {}

    def bound(self, spare: int) -> None:
        """Do nothing: all records are of one size."""

    def block_memory(self, rows: int) -> BlockMemory:
        """Return memory for blocks."""
        return self._source.block_memory(rows)

    def close(self) -> None:
        """Close the files; they are opened again when they are needed."""
        self._source.close()
        self._advice.clear()
        self._files.forget()

    def forget(self) -> None:
        """Hold no file any longer."""
        for known in self._under_way.valuerefs():
            fetch = known()
            if fetch is not None:
                fetch.wait()
        self._advice.clear()
        self._files.forget()

    def advise(self, ids: NDArray[np.int64]) -> bool:
        """Advise the kernel to read the records `ids`, which are neighbours mostly.

        They may be of more shards than are open at once. Whoever reads them is told what is wrong
        with a shard.
        """
        stride, reads = self._stride, False
        for number, place, size in self._shards.runs(ids):
            with suppress(ShardioError):
                file = self._shards.get(number)
                if file.descriptor >= 0:
                    at = place * stride, size * stride
                    advice = core.advise(file.descriptor, *at, file)
                    if advice is not None:
                        self._advice.append(advice)
                        reads = True
        return reads

    def begin(self, ids: NDArray[np.int64], images: NDArray[Any]) -> Fetch:
        """Begin to read the records `ids` into the first rows of `images`, and return at once.

        Where files are scarce, those of this batch are opened only when its turn comes.
        """
        if len(ids) > self._files.most or not self.begins or is_crowded():
            return LaterFetch(self.fetch, ids, images)
        fetch = self._begin(ids, images)
        self._under_way[id(fetch)] = fetch
        return fetch

    def fetch(self, ids: NDArray[np.int64], images: NDArray[Any]) -> NDArray[np.int64]:
        """Read the records `ids` into the first rows of `images`; returns their integers."""
        most = self._files.most
        if len(ids) <= most:
            return self._begin(ids, images).result()
        integers = self._decoder.integers(len(ids))
        for first in range(0, len(ids), most):
            part = slice(first, first + most)
            wrong, *taken = core.wait(self._read(ids[part], images[part], integers[part]))
            if wrong:
                return self._source.fetch(ids, images)
            found = Taken(*taken)
            self._shards.counts.add(found.seconds, 0.0, found.cpu)
            self._waiting.saw(found, most)
        return integers

    def _begin(self, ids: NDArray[np.int64], images: NDArray[Any]) -> CoreFetch:
        integers = self._decoder.integers(len(ids))
        begun = self._read(ids, images, integers)
        return CoreFetch(
            self._source, self._waiting, self._shards.counts, ids, images, integers, begun
        )

    def _read(
        self, ids: NDArray[np.int64], images: NDArray[Any], integers: NDArray[np.int64]
    ) -> object:
        """Begin to read, and return what `core.wait` takes."""
        places, decoder = self._files.locate(ids), self._decoder
        # From a disk, one read of all that a record needs beats page faults, and as many reads are
        # under way as it wants.
        is_quick = self._waiting.is_quick
        faults = np.empty(len(ids), dtype=np.int64)
        begun: object = core.begin(
            decoder.known, places.descriptors, places.offsets,
            places.addresses if is_quick else None, images, images.dtype == np.float32, integers,
            faults, decoder.verify, not is_quick, places.files,
        )  # fmt: skip
        return begun
