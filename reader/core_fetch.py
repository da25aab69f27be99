"""Records of fixed size by number, from files of this machine, read by compiled code."""

from __future__ import annotations

import warnings
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from reader.fetch import Fetcher
from reader.mapped_files import MappedFiles
from reader.maps import Maps
from reader.pool import Room
from reader.waiting import Taken, Waiting
from shardio.format.layout import RecordLayout

core: ModuleType | None
try:
    from reader import _core as core
except ImportError:
    core = None


def has_core() -> bool:
    """Whether the compiled code is there; says so once where it is not."""
    if core is None:
        warnings.warn(
            "shardio's compiled code is missing (it is built on installation, with a C compiler); "
            "NumPy reads instead, and takes two to four times as long",
            RuntimeWarning,
            stacklevel=2,
        )
    return core is not None


def new_maps() -> Maps:
    """Make maps for a set of shards."""
    assert core is not None
    return Maps(core.map)


class CoreFetch:
    """Records that are being read."""

    taken = Taken(0.0, 0)

    def __init__(
        self,
        fetcher: CoreFetcher,
        ids: NDArray[np.int64],
        room: Room,
        integers: NDArray[np.int64],
        begun: list[object],
    ) -> None:
        self._fetcher = fetcher
        self.ids = ids
        self.room = room
        self.integers = integers
        self.begun = begun

    def result(self) -> NDArray[np.int64]:
        """Wait for the records; returns their integers."""
        return self._fetcher.end(self)


class CoreFetcher:
    """Reads records as `fetcher` does, from any number of threads.

    Whatever is not as it should be is left to `fetcher`: to read what compiled code could not, to
    name a damaged record, or to replace it.
    """

    scales = True
    in_blocks = False
    begins = True

    def __init__(self, fetcher: Fetcher, layout: RecordLayout, maps: Maps, *, verify: bool) -> None:
        assert core is not None
        self._fetcher = fetcher
        self._layout = layout
        self._verify = verify
        self._core_layout = core.layout(
            layout.head, layout.image_bytes, layout.tail_bytes, layout.integer_offsets, True
        )
        self._files = MappedFiles(fetcher.files, layout.stride, maps, core.locate)
        self._waiting = Waiting()

    def room(self, records: int, dtype: str = "uint8") -> Room:
        """Make room for `records` records, as pixels or, float32, as pixels / 255."""
        return Room(records, self._layout.image_bytes, dtype)

    def new_epoch(self) -> None:
        """Look again whether the shards are still those that were opened."""
        self._fetcher.new_epoch()
        self._files.new_epoch()

    def close(self) -> None:
        """Close the files; they are opened again when they are needed."""
        self._fetcher.close()
        self._files.forget()

    def advise(self, ids: NDArray[np.int64]) -> None:
        """Let the kernel begin to read the records `ids`."""
        self._fetcher.advise(ids)

    def begin(self, ids: NDArray[np.int64], room: Room) -> CoreFetch:
        """Begin to read the records `ids` into the first rows of `room`, and return at once."""
        integers = np.empty((len(ids), len(self._layout.labels) + 1), dtype=np.int64)
        most = self._files.most
        if len(ids) <= most:
            begun = [self._begin(ids, room.array, integers)]
        else:
            parts = [slice(first, first + most) for first in range(0, len(ids), most)]
            begun = [self._begin(ids[part], room.array[part], integers[part]) for part in parts]
        return CoreFetch(self, ids, room, integers, begun)

    def fetch(self, ids: NDArray[np.int64], room: Room) -> NDArray[np.int64]:
        """Read the records `ids` into the first rows of `room`; returns their integers."""
        return self.begin(ids, room).result()

    def end(self, fetch: CoreFetch) -> NDArray[np.int64]:
        """Wait for what was begun; returns the integers of its records."""
        assert core is not None
        ended = [core.wait(begun) for begun in fetch.begun]
        wrong, seconds, waits = ended[0] if len(ended) == 1 else map(sum, zip(*ended, strict=True))
        if wrong:
            return self._fetch_slowly(fetch.ids, fetch.room)
        fetch.taken = Taken(seconds, waits)
        self._waiting.saw(fetch.taken, len(fetch.ids))
        return fetch.integers

    def fetch_run(self, first: int, pixels: NDArray[np.uint8], integers: NDArray[np.int64]) -> None:
        """Fill `pixels` and `integers` with neighbours."""
        self._fetcher.fetch_run(first, pixels, integers)

    def _begin(
        self, ids: NDArray[np.int64], images: NDArray[np.generic], integers: NDArray[np.int64]
    ) -> object:
        assert core is not None
        places = self._files.locate(ids)
        begun: object = core.begin(
            self._core_layout,
            places.descriptors,
            places.offsets,
            # From a disk, one read of all that a record needs beats page faults.
            None if self._waiting.is_slow else places.addresses,
            images,
            images.dtype == np.float32,
            integers,
            np.empty(len(ids), dtype=np.int64),
            self._verify,
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
