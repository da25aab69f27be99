"""Which source reads shards that a cache holds, or will hold."""

from __future__ import annotations

from reader.cache.copies import ShardCopies
from reader.fetch.source import RecordSource
from reader.files.mapped_files import Maps


class CachedChoice:
    """Chooses between `source`, which reads from any storage, and the one for local files.

    The copies come one by one. Until all are there, records are read as the storage of the shards
    wants it, each shard from its copy if it has one; then they are read as those of a local set.
    Which records come when does not depend on it. `is_local` tells whether the shards themselves
    are local files, of a mount maybe.
    """

    def __init__(self, source: RecordSource, copies: ShardCopies, *, is_local: bool) -> None:
        self._source = source
        self._copies = copies
        self._is_local = is_local
        self._mapped: tuple[Maps, RecordSource] | None = None

    @property
    def first(self) -> RecordSource:
        """The source that needs the most memory: a full cache may have to be filled again."""
        return self._of_maps() if self._is_local else self._source

    def choose(self) -> RecordSource:
        """Return the source for the copies that are there now; the same one for the same copies."""
        if self._is_local or self._copies.all_here:
            return self._of_maps()
        self._mapped = None
        return self._source

    def _of_maps(self) -> RecordSource:
        maps = self._copies.maps()
        if self._mapped is None or self._mapped[0] is not maps:
            self._mapped = maps, self._source.mapped(maps)
        return self._mapped[1]
