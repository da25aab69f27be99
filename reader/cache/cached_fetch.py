"""Records of fixed size by number, from slow storage and from copies in a cache on a local disk.

The copies come one by one. Until all are there, records are read as the storage of the shards
wants it, each shard from its copy if it has one; then they are read as those of a local set.
Which records come when is another's business, and the same at all times.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from reader.blocks.raw_fetch import RawFetcher
from reader.cache.copies import ShardCopies
from reader.fetch.core_fetch import CoreFetcher
from reader.fetch.numpy_fetch import Fetcher
from reader.fetch.pool import Room
from reader.fetch.source import Fetch
from shardio.format.layout import RecordLayout


class CachedFetcher(RawFetcher):
    """Reads records as `fetcher` does, from any number of threads.

    Where the shards themselves are local files, of a mount maybe, `is_local` says so.
    `in_blocks` and `begins` may change when an epoch begins.
    """

    def __init__(
        self,
        fetcher: Fetcher,
        layout: RecordLayout,
        copies: ShardCopies,
        *,
        verify: bool,
        is_local: bool,
    ) -> None:
        super().__init__(fetcher, layout, verify=verify)
        self.in_blocks = not is_local
        self._is_local = is_local
        self._copies = copies
        self._core: tuple[object, CoreFetcher] | None = None

    def new_epoch(self) -> None:
        """Look again whether the shards are still those that were opened, and which are here."""
        super().new_epoch()
        if not (self._is_local or self._copies.all_here):
            self.in_blocks, self.begins, self._core = True, False, None
            return
        self.in_blocks, self.begins = False, True
        maps = self._copies.maps()
        if self._core is not None and self._core[0] is maps:
            self._core[1].new_epoch()
        else:
            core = CoreFetcher(self._fetcher, self._layout, maps, verify=self._verify)
            self._core = maps, core

    def close(self) -> None:
        """Close the files; they are opened again when they are needed."""
        super().close()
        if self._core is not None:
            self._core[1].close()

    def fetch(self, ids: NDArray[np.int64], room: Room) -> NDArray[np.int64]:
        """Read the records `ids` into the first rows of `room`; returns their integers."""
        core = self._core
        return super().fetch(ids, room) if core is None else core[1].fetch(ids, room)

    def begin(self, ids: NDArray[np.int64], room: Room) -> Fetch:
        """Begin to read the records `ids`, if they are read as those of a local set."""
        core = self._core
        return super().begin(ids, room) if core is None else core[1].begin(ids, room)
