"""Records by number, read in whole blocks: the `window` order needs few blocks at once."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from reader.fetch import Fetcher, Slot
from reader.pool import aligned
from shardio.format.layout import RecordLayout


class BlockFetcher:
    """Keeps the last `held` blocks that were read, checked, in one piece of memory.

    A block is `block` neighbouring records, read with few calls. A batch is gathered from them with
    one copy.
    """

    def __init__(
        self, fetcher: Fetcher, layout: RecordLayout, records: int, block: int, held: int
    ) -> None:
        self._fetcher = fetcher
        self._layout = layout
        self._records = records
        self._block = min(block, records)
        self._size = block
        self._held = min(held, -(-records // block))
        rows = self._held * self._block
        self._pixels = aligned(rows * layout.image_bytes).reshape(rows, layout.image_bytes)
        self._integers = np.empty((rows, len(layout.labels) + 1), dtype=np.int64)
        # Views of a block's part of the memory, made once: one slot for each place.
        self._slots: dict[int, Slot] = {}
        self._places: OrderedDict[int, int] = OrderedDict()
        self._free = list(range(self._held))
        self._lock = Lock()

    def fetch(self, ids: NDArray[np.int64], slot: Slot) -> NDArray[np.int64]:
        """Read the records `ids` into the first rows of `slot`; returns their integers."""
        out = np.empty((len(ids), self._integers.shape[1]), dtype=np.int64)
        blocks = ids // self._size
        with self._lock:
            start = 0
            while start < len(ids):
                stop, wanted = self._span(blocks, start)
                places = self._load(wanted)
                part = slice(start, stop)
                rows = ids[part] - blocks[part] * self._size
                rows += np.array([places[block] for block in blocks[part].tolist()]) * self._block
                # With mode="raise" NumPy would fill a buffer first and copy that.
                np.take(self._pixels, rows, axis=0, out=slot.array[part], mode="clip")
                out[part] = self._integers[rows]
                start = stop
        return out

    def _span(self, blocks: NDArray[np.int64], start: int) -> tuple[int, list[int]]:
        """Return the end of the longest part from `start` on whose blocks can be held at once."""
        wanted: dict[int, None] = {}
        stop = start
        for block in blocks[start:].tolist():
            if block not in wanted and len(wanted) == self._held:
                break
            wanted[block] = None
            stop += 1
        return stop, list(wanted)

    def _load(self, wanted: list[int]) -> dict[int, int]:
        """Make sure that the blocks are held; returns the place of each."""
        missing = [block for block in wanted if block not in self._places]
        for block in wanted:
            if block in self._places:
                self._places.move_to_end(block)
        for block in sorted(missing):
            if not self._free:
                _, oldest = self._places.popitem(last=False)
                self._free.append(oldest)
            self._read(block, self._free[-1])
            self._places[block] = self._free.pop()
        return self._places

    def _read(self, block: int, place: int) -> None:
        slot = self._slots.get(place)
        rows = slice(place * self._block, (place + 1) * self._block)
        if slot is None:
            slot = self._slots[place] = Slot(self._layout, self._block, self._pixels[rows])
        first = block * self._size
        ids = np.arange(first, min(first + self._size, self._records))
        self._integers[rows][: len(ids)] = self._fetcher.fetch(ids, slot)
