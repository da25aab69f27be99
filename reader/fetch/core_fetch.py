"""Records of fixed size by number, from files of this machine, read by compiled code."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from reader.core.compiled import core
from reader.core.maps import Maps
from reader.fetch.numpy_fetch import Fetcher
from reader.fetch.pool import Room
from reader.fetch.source import Fetch, LaterFetch
from reader.fetch.waiting import Taken, Waiting
from reader.files.mapped_files import MappedFiles
from reader.files.open_files import is_crowded, register
from shardio.errors import ShardioError
from shardio.format.layout import RecordLayout
from shardio.storage.local_files import LocalRanges

# Runs of neighbours that are read ahead at once: some windows of blocks.
_ADVICE = 128


class CoreFetch:
    """Records that are being read, by `begun`, into `room` and `integers`.

    The files stay open for it until it is known to be done, which `wait` makes sure of.
    """

    taken = Taken(0.0, 0)

    def __init__(
        self,
        fetcher: CoreFetcher,
        ids: NDArray[np.int64],
        room: Room,
        integers: NDArray[np.int64],
        begun: object,
    ) -> None:
        self._fetcher = fetcher
        self._ids = ids
        self._room = room
        self._integers = integers
        self._begun: object | None = begun
        self._wrong = 0

    def wait(self) -> None:
        """Wait until nothing is read any more."""
        begun = self._begun
        if begun is not None:
            assert core is not None
            # More than one thread may do this, and finds the same.
            self._wrong, *taken = core.wait(begun)
            self.taken = Taken(*taken)
            self._begun = None

    def result(self) -> NDArray[np.int64]:
        """Wait for the records; returns their integers."""
        self.wait()
        return self._fetcher.end(self._ids, self._room, self._integers, self._wrong, self.taken)


class CoreFetcher:
    """Reads records as `fetcher` does, from any number of threads.

    Whatever is not as it should be is left to `fetcher`: to read what compiled code could not, to
    name a damaged record, or to replace it.
    """

    scales = True
    in_blocks = False

    def __init__(self, fetcher: Fetcher, layout: RecordLayout, maps: Maps, *, verify: bool) -> None:
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
        self._files = MappedFiles(fetcher.files, layout.stride, maps, core.locate)
        self.begins = self._files.all_at_once
        self._waiting = Waiting()
        # What comes out of it is done, or given up.
        self._advice: deque[object] = deque(maxlen=min(_ADVICE, self._files.most))
        self._under_way: WeakValueDictionary[int, CoreFetch] = WeakValueDictionary()
        register(self)

    def room(self, records: int, dtype: str = "uint8") -> Room:
        """Make room for `records` records, as pixels or, float32, as pixels / 255."""
        return Room(records, self._layout.image_bytes, dtype)

    def close(self) -> None:
        """Close the files; they are opened again when they are needed."""
        self._fetcher.close()
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
        """Let the kernel begin to read the records `ids`, which are neighbours mostly.

        They may be of more shards than are open at once. Whoever reads them is told what is wrong
        with a shard.
        """
        assert core is not None
        stride, files = self._layout.stride, self._fetcher.files
        reads = False
        for number, place, size in files.runs(ids):
            with suppress(ShardioError):
                file = files.get(number)
                if isinstance(file.reader, LocalRanges):
                    descriptor = file.reader.fileno()
                    advice = core.advise(descriptor, place * stride, size * stride, file)
                    if advice is not None:
                        self._advice.append(advice)
                        reads = True
        return reads

    def begin(self, ids: NDArray[np.int64], room: Room) -> Fetch:
        """Begin to read the records `ids` into the first rows of `room`, and return at once.

        Where files are scarce, those of this batch are opened only when its turn comes.
        """
        if len(ids) > self._files.most or not self.begins or is_crowded():
            return LaterFetch(self.fetch, ids, room)
        fetch = self._begin(ids, room)
        self._under_way[id(fetch)] = fetch
        return fetch

    def fetch(self, ids: NDArray[np.int64], room: Room) -> NDArray[np.int64]:
        """Read the records `ids` into the first rows of `room`; returns their integers."""
        assert core is not None
        most = self._files.most
        if len(ids) <= most:
            return self._begin(ids, room).result()
        integers = self._integers(len(ids))
        for first in range(0, len(ids), most):
            part = slice(first, first + most)
            wrong, *taken = core.wait(self._read(ids[part], room.array[part], integers[part]))
            if wrong:
                return self._fetch_slowly(ids, room)
            self._waiting.saw(Taken(*taken), most)
        return integers

    def end(
        self,
        ids: NDArray[np.int64],
        room: Room,
        integers: NDArray[np.int64],
        wrong: int,
        taken: Taken,
    ) -> NDArray[np.int64]:
        """Return the integers of records that were read, `wrong` of which are not fine."""
        if wrong:
            return self._fetch_slowly(ids, room)
        self._waiting.saw(taken, len(ids))
        return integers

    def fetch_run(self, first: int, pixels: NDArray[np.uint8], integers: NDArray[np.int64]) -> None:
        """Fill `pixels` and `integers` with neighbours."""
        self._fetcher.fetch_run(first, pixels, integers)

    def _integers(self, count: int) -> NDArray[np.int64]:
        return np.empty((count, self._layout.numbers), dtype=np.int64)

    def _begin(self, ids: NDArray[np.int64], room: Room) -> CoreFetch:
        integers = self._integers(len(ids))
        return CoreFetch(self, ids, room, integers, self._read(ids, room.array, integers))

    def _read(
        self, ids: NDArray[np.int64], images: NDArray[np.generic], integers: NDArray[np.int64]
    ) -> object:
        """Begin to read, and return what `core.wait` takes."""
        assert core is not None
        places = self._files.locate(ids)
        begun: object = core.begin(
            self._core_layout,
            places.descriptors,
            places.offsets,
            # From a disk, one read of all that a record needs beats page faults.
            places.addresses if self._waiting.is_quick else None,
            images,
            images.dtype == np.float32,
            integers,
            np.empty(len(ids), dtype=np.int64),
            self._verify,
            not self._waiting.is_quick,
            places.files,
        )
        return begun

    def _fetch_slowly(self, ids: NDArray[np.int64], room: Room) -> NDArray[np.int64]:
        slot = self._fetcher.room(len(ids))
        integers = self._fetcher.fetch(ids, slot)
        if room.array.dtype == np.float32:
            np.divide(slot.array, np.float32(255), out=room.array[: len(ids)])
        else:
            room.array[: len(ids)] = slot.array
        return integers
