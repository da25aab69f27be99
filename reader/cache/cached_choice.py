"""Which source reads shards that a cache holds, or will hold: the slow one, or the compiled one."""

from __future__ import annotations

from reader.blocks.raw_fetch import RawFetcher
from reader.cache.copies import ShardCopies
from reader.core.maps import Maps
from reader.fetch.core_fetch import CoreFetcher
from reader.fetch.numpy_fetch import Fetcher
from reader.fetch.source import RecordSource
from shardio.format.layout import RecordLayout


class CachedChoice:
    """Chooses between sources that read the files of `fetcher`.

    The copies come one by one. Until all are there, records are read as the storage of the shards
    wants it, each shard from its copy if it has one; then they are read as those of a local set.
    Which records come when does not depend on it. `is_local` tells whether the shards themselves
    are local files, of a mount maybe.
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
        self._fetcher = fetcher
        self._layout = layout
        self._copies = copies
        self._verify = verify
        self._is_local = is_local
        self._slow = RawFetcher(fetcher, layout, verify=verify)
        self._quick: tuple[Maps, CoreFetcher] | None = None

    @property
    def first(self) -> RecordSource:
        """The source that needs the most memory: a full cache may have to be filled again."""
        return self._compiled() if self._is_local else self._slow

    def choose(self) -> RecordSource:
        """Return the source for the copies that are there now; the same one for the same copies."""
        if self._is_local or self._copies.all_here:
            return self._compiled()
        self._quick = None
        return self._slow

    def _compiled(self) -> CoreFetcher:
        maps = self._copies.maps()
        if self._quick is None or self._quick[0] is not maps:
            source = CoreFetcher(self._fetcher, self._layout, maps, verify=self._verify)
            self._quick = maps, source
        return self._quick[1]
