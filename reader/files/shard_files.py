"""The shards of a set as open files: each one checked when it is touched first in an epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from reader.files.open_files import OpenFiles
from reader.files.shard import ShardFile
from reader.stats.stream_counts import StreamCounts
from shardio.cached_property import cached_property
from shardio.errors import DatasetError
from shardio.storage import RangeReader, storage_for
from shardio.storage.paths import is_local

Shard = TypeVar("Shard", bound=ShardFile)


class ShardFiles(Generic[Shard]):
    """The open files of a list of shards, and which record is in which of them.

    `touch` is called with a shard and its open file when it is opened for the first time, and
    raises if it is not what it should be. It must not refer to the owner of this object: in a
    circle files stay open until the garbage collector comes.
    """

    def __init__(
        self, shards: Sequence[Shard], touch: Callable[[Shard, RangeReader], None]
    ) -> None:
        self.shards = tuple(shards)
        self._touch = touch
        # The number, in the set, of the record behind the last one of each shard.
        self.ends = np.cumsum([shard.records for shard in shards], dtype=np.int64)
        self._starts = np.concatenate([[0], self.ends[:-1]])
        self._files = OpenFiles()
        self._touched: set[int] = set()
        self._same: set[int] = set()
        # How many epochs have begun: callers that cache comparisons look at it.
        self.epochs = 0
        # Where what reads these files counts its work.
        self.counts = StreamCounts()

    def get(self, number: int) -> RangeReader:
        """Return a file; it stays open as long as the caller holds it.

        Raises DatasetError for a shard that was replaced since the set was opened.
        """
        file = self._files.get(number, self._open)
        if number not in self._same:  # it is open since an earlier epoch
            self._compare(number, self._identity(number))
        return file

    def close(self) -> None:
        """Close the files that nobody reads from; they are opened again when they are needed."""
        self._files.forget()

    def new_epoch(self) -> None:
        """Compare the identity of every shard again when it is touched next."""
        self._same = set()
        self.epochs += 1

    def distrust(self, number: int, describe: Callable[[str], object]) -> bool:
        """Report a damaged record of a shard; returns whether to read it again.

        Not where the shard itself was read. `describe` says of a path what is wrong with it.
        """
        return False

    def cached(self, ids: NDArray[np.int64]) -> int:
        """Return how many of the records `ids` are read from copies, as far as is known now."""
        return 0

    @cached_property
    def _has_local_shards(self) -> bool:
        return all(is_local(shard.path) for shard in self.shards)

    @property
    def are_local(self) -> bool:
        """Whether all is read from files of this machine, and no read is a request to a server."""
        return self._has_local_shards

    @property
    def most(self) -> int:
        """How many files are open at once."""
        return self._files.most

    def locate(self, ids: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return for each record its shard and its number within the shard."""
        numbers = np.searchsorted(self.ends, ids, side="right")
        return numbers, ids - self._starts[numbers]

    def runs(self, ids: NDArray[np.int64]) -> Iterator[tuple[int, int, int]]:
        """Cut records into runs of neighbours in one shard.

        Yields of each the shard, the first record in it and how many records.
        """
        numbers, places = self.locate(ids)
        edges = np.flatnonzero((np.diff(places) != 1) | (np.diff(numbers) != 0)) + 1
        for first, last in pairwise([0, *edges.tolist(), len(ids)]):
            if first < last:
                yield int(numbers[first]), int(places[first]), last - first

    def _compare(self, number: int, identity: str) -> None:
        """Look whether a file is still the one that was found when the set was opened."""
        shard = self.shards[number]
        if shard.identity not in ("", identity):
            raise DatasetError(
                f"{shard.path} was replaced or written to since the set was opened; open it anew"
            )
        self._same.add(number)

    def _identity(self, number: int) -> str:
        """Ask which file a shard is now, where that was known when the set was opened."""
        shard = self.shards[number]
        return storage_for(shard.path).stat(shard.path).identity if shard.identity else ""

    def _open(self, number: int) -> RangeReader:
        return self._touch_first(number, number, self._open_source(number))

    def _open_source(self, number: int) -> RangeReader:
        path = self.shards[number].path
        reader = storage_for(path).open_ranges(path)
        try:
            # Each time that it tells without being asked: another request takes milliseconds.
            if reader.identity or number not in self._same:
                self._compare(number, reader.identity or self._identity(number))
        except BaseException:
            reader.close()
            raise
        return reader

    def _touch_first(self, key: int, number: int, reader: RangeReader) -> RangeReader:
        """Check a file if it is opened for the first time."""
        if key not in self._touched:
            try:
                self._touch(self.shards[number], reader)
            except BaseException:
                reader.close()
                raise
            self._touched.add(key)
        return reader
