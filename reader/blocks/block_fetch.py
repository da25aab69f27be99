"""Records by number, read in whole blocks: the `window` order needs few blocks at once."""

from __future__ import annotations

from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor, wait
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reader.blocks.block_grid import BlockGrid
from reader.fetch.source import BLOCKS_AT_ONCE, Fetch, LaterFetch, RecordSource


class BlockFetcher:
    """Keeps the last `held` blocks that were read in one piece of memory.

    A block is `block` neighbouring records, read with few calls by one of `threads` threads. A
    batch is gathered from them with one copy.
    """

    begins = False

    def __init__(
        self,
        source: RecordSource,
        grid: BlockGrid,
        held: int,
        threads: int = BLOCKS_AT_ONCE,
    ) -> None:
        self._source = source
        self._grid = grid
        self._block = grid.most
        self._held = min(held, self._grid.blocks)
        self._memory = source.block_memory(self._held * self._block)
        # Of each block its place in the memory and the future that fills it, the one that was used
        # last at the end.
        self._blocks: OrderedDict[int, tuple[int, Future[None]]] = OrderedDict()
        # Those whose future was asked already.
        self._whole: set[int] = set()
        self._free = list(range(self._held))
        # Those that stay: of the records that are gathered now, and of those that will be next.
        self._pinned: set[int] = set()
        self._wanted: set[int] = set()
        self._lock = Lock()
        # One call gathers at a time, or two could push out each other's blocks for ever.
        self._turn = Lock()
        # So many of later records: no thread idles while the last of those that are wanted is read.
        self._depth = 2 * threads
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="shardio-blocks")

    def close(self) -> None:
        """Begin to read nothing more, and close the files."""
        # Reads under way end: a thread that waits for a cancelled block would wait for ever.
        self._threads.shutdown(wait=False)
        self._source.close()

    def fetch(self, ids: NDArray[np.int64], images: NDArray[Any]) -> NDArray[np.int64]:
        """Read the records `ids` into the first rows of `images`; returns their integers."""
        found: list[NDArray[np.int64]] = []
        blocks = self._grid.of(ids)
        start = 0
        with self._turn:
            while start < len(ids):
                stop, wanted = self._span(blocks, start)
                part = slice(start, stop)
                places = self._load(wanted)
                rows = self._grid.within(ids[part])
                # Not with searchsorted or the like: NumPy would let those who read have the
                # interpreter, and get it back late.
                rows += np.array([places[block] for block in blocks[part].tolist()]) * self._block
                found.append(self._memory.gather(rows, ids[part], images[part]))
                start = stop
        return found[0] if len(found) == 1 else np.concatenate(found)

    def begin(self, ids: NDArray[np.int64], images: NDArray[Any]) -> Fetch:
        """Fetch when the result is asked for."""
        return LaterFetch(self.fetch, ids, images)

    def want(self, ids: NDArray[np.int64]) -> bool:
        """Begin to read the blocks of records that are fetched next, before others are prepared.

        Returns whether others were wanted until now, so that it is time to prepare some.
        """
        wanted = set(self._span(self._grid.of(ids), 0)[1])
        with self._lock:
            if self._wanted.issuperset(wanted):
                return False
            self._wanted = wanted
            for block in wanted:
                if block in self._blocks or self._has_room(wanted):
                    self._begin(block)
        return True

    def prepare(self, ids: NDArray[np.int64]) -> None:
        """Begin to read blocks of records that are wanted later, as far as there is room.

        Those of the first records stay where there is no room for all.
        """
        of_ids = self._grid.of(ids)
        blocks = set(np.unique(of_ids).tolist())
        if len(blocks) > self._held:
            blocks = set(self._span(of_ids, 0)[1])
        with self._lock:
            for block in blocks & self._blocks.keys():
                self._blocks.move_to_end(block)  # the others make room
            missing = sorted(blocks - self._blocks.keys())
            if not missing:
                return
            loading = sum(
                not future.done()
                for block, (_, future) in self._blocks.items()
                if block not in self._wanted
            )
            for block in missing:
                if loading >= self._depth or not self._has_room(blocks):
                    break
                self._begin(block)
                loading += 1

    def _has_room(self, blocks: set[int]) -> bool:
        """Whether there is room for one more, which pushes out none of `blocks`."""
        return bool(self._free) or any(
            block not in blocks and self._may_go(block) for block in self._blocks
        )

    def _may_go(self, block: int) -> bool:
        stays = block in self._pinned or block in self._wanted
        return not stays and self._blocks[block][1].done()

    def _span(self, blocks: NDArray[np.int64], start: int) -> tuple[int, list[int]]:
        """Return the end of the longest part from `start` on whose blocks can be held at once."""
        wanted = dict.fromkeys(blocks[start:].tolist())
        if len(wanted) <= self._held:
            return len(blocks), list(wanted)
        wanted, stop = {}, start
        for block in blocks[start:].tolist():
            if block not in wanted and len(wanted) == self._held:
                break
            wanted[block] = None
            stop += 1
        return stop, list(wanted)

    def _load(self, wanted: list[int]) -> dict[int, int]:
        """Make sure that the blocks are held; returns the place of each.

        They stay in their places until the next call.
        """
        with self._lock:
            if self._pinned.issuperset(wanted) and self._whole.issuperset(wanted):
                return {block: self._blocks[block][0] for block in wanted}  # as nearly always
            self._pinned = set(wanted)
            loading = [(block, *self._begin(block)) for block in wanted]
        for block, _, future in loading:
            if block not in self._whole:
                self._finish(block, future)
                self._whole.add(block)
        return {block: place for block, place, _ in loading}

    def _begin(self, block: int) -> tuple[int, Future[None]]:
        """Begin to read a block unless it is there; the lock is held."""
        if block in self._blocks:
            self._blocks.move_to_end(block)
            return self._blocks[block]
        if not self._free:
            others = [other for other in self._blocks if other not in self._pinned]
            other = next(filter(self._may_go, others), others[0])
            place, future = self._blocks[other]
            wait([future])  # which may be interrupted
            del self._blocks[other]
            self._whole.discard(other)
            self._free.append(place)
        place = self._free.pop()
        self._blocks[block] = place, self._threads.submit(self._read, block, place)
        return self._blocks[block]

    def _finish(self, block: int, future: Future[None]) -> None:
        """Wait for a block; one that could not be read is forgotten, so that it is tried again.

        One that is being read when this is interrupted is not: its memory is being filled.
        """
        try:
            future.result()
        except BaseException:
            with self._lock:
                is_held = self._blocks.get(block, (0, None))[1] is future
                if is_held and future.done():
                    place, _ = self._blocks.pop(block)
                    self._free.append(place)
            raise

    def _read(self, block: int, place: int) -> None:
        ids = self._grid.records(block)
        self._memory.fill(place * self._block, int(ids[0]), len(ids))
