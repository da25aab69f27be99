"""The shards of a set as open files: each one checked when it is touched first in an epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from reader.open_files import OpenFile, OpenFiles
from shardio.errors import CorruptRecordError, DatasetError
from shardio.format.manifest import ShardEntry
from shardio.storage import RangeReader, storage_for

if TYPE_CHECKING:
    from reader.shard_copies import ShardCopies


@dataclass(frozen=True)
class ShardFile:
    """A shard as it was found: where, how many records, and what the manifest says of it.

    `identity` is the storage's, of the moment when the set was opened; empty where not known.
    `size` is in bytes.
    """

    path: str
    records: int
    entry: ShardEntry | None
    identity: str = ""
    size: int = 0


class _NoCopyError(Exception):
    """The copy is gone, or was no good."""


Shard = TypeVar("Shard", bound=ShardFile)


class ShardFiles(Generic[Shard]):
    """The open files of a list of shards, and which record is in which of them.

    `touch` is called with a shard and its open file when it is opened for the first time, and
    raises if it is not what it should be. It must not refer to who holds this object: files that
    wait for the garbage collector stay open. A shard is read from its copy, as soon as `copies`
    have one. `skips` tells whether a shard that was found to be damaged can be read.
    """

    def __init__(
        self,
        shards: Sequence[Shard],
        touch: Callable[[Shard, RangeReader], None],
        copies: ShardCopies | None = None,
        *,
        skips: bool = False,
    ) -> None:
        self.shards = tuple(shards)
        self._touch = touch
        self._copies = copies
        self._skips = skips
        # The number, in the set, of the record behind the last one of each shard.
        self.ends = np.cumsum([shard.records for shard in shards], dtype=np.int64)
        self._starts = np.concatenate([[0], self.ends[:-1]])
        # The copy of a shard has the number that `~` makes of the shard's.
        self._files = OpenFiles()
        self._touched: set[int] = set()
        self._same: set[int] = set()
        self._inodes: dict[int, int] = {}

    def get(self, number: int) -> OpenFile:
        """Return a file; it stays open as long as the caller holds it."""
        copies = self._copies
        if number not in self._same:
            self._compare(number)
            self._same.add(number)
            if copies is not None:
                copies.use(number)
        if copies is not None:
            copies.complain(number, raises=not self._skips)
            if number in copies.here:
                try:
                    return self._files.get(~number, self._open)
                except _NoCopyError:
                    pass
        return self._files.get(number, self._open)

    def close(self) -> None:
        """Close the files that nobody reads from; they are opened again when they are needed."""
        self._files.forget()

    def new_epoch(self) -> None:
        """Let the identity of every shard be compared again when it is touched next."""
        self._same = set()
        if self._copies is not None:
            self._copies.look()

    def distrust(self, number: int, describe: Callable[[str], object]) -> bool:
        """Be told that a record of a shard was damaged; returns whether to read it again.

        So it is if the shard was read from a copy. That is dropped, and `describe` says of its path
        what is wrong.
        """
        if self._copies is None or number not in self._inodes:
            return False
        self._give_up(number, self._inodes[number], str(describe(self._copies.path(number))))
        return True

    @property
    def most(self) -> int:
        """How many files are open at once."""
        return self._files.most

    def locate(self, ids: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return for each record its shard and its number within the shard."""
        numbers = np.searchsorted(self.ends, ids, side="right")
        return numbers, ids - self._starts[numbers]

    def runs(self, ids: NDArray[np.int64]) -> Iterator[tuple[int, int, int]]:
        """Cut records into neighbours, and these at the ends of shards: yield as `parts` does."""
        edges = [0, *(np.flatnonzero(np.diff(ids) != 1) + 1).tolist(), len(ids)]
        for first, last in pairwise(edges):
            if first < last:
                yield from self.parts(int(ids[first]), last - first)

    def parts(self, first: int, count: int) -> Iterator[tuple[int, int, int]]:
        """Cut neighbours at the ends of shards: yield shard, first record in it, how many."""
        while count:
            (number,), (place,) = self.locate(np.array([first]))
            here = min(count, self.shards[number].records - int(place))
            yield int(number), int(place), here
            first, count = first + here, count - here

    def _compare(self, number: int) -> None:
        """Look whether the file is still the one that was found when the set was opened."""
        shard = self.shards[number]
        if not shard.identity:
            return
        copies = self._copies
        # One request for all copies: each takes as long as reading megabytes from one.
        if (
            copies is not None
            and number in copies.here
            and copies.listed(shard.path) == shard.identity
        ):
            return
        if storage_for(shard.path).stat(shard.path).identity != shard.identity:
            raise DatasetError(
                f"{shard.path} was replaced or written to since the set was opened; open it anew"
            )

    def _open(self, key: int) -> RangeReader:
        if key < 0:
            return self._open_copy(~key)
        return self._touch_first(key, key, self._open_source(key))

    def _open_source(self, number: int) -> RangeReader:
        path = self.shards[number].path
        return storage_for(path).open_ranges(path)

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

    def _open_copy(self, number: int) -> RangeReader:
        assert self._copies is not None

        def give_up(inode: int, why: str) -> RangeReader:
            self._give_up(number, inode, why)
            return self._open_source(number)

        reader = self._copies.open(number, give_up)
        if reader is None:
            raise _NoCopyError
        self._inodes[number] = inode = reader.inode
        try:
            self._touch_first(~number, number, reader)
        except (CorruptRecordError, DatasetError) as error:
            self._give_up(number, inode, f"{self._copies.path(number)}: {error}")
            raise _NoCopyError from error
        self._files.drop(number)
        return reader

    def _give_up(self, number: int, inode: int, why: str) -> None:
        """Read a copy no more."""
        assert self._copies is not None
        self._files.drop(~number)
        self._touched.discard(~number)
        self._copies.drop(number, inode, why)
