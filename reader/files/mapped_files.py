"""The shards of a set as descriptors and memory maps, for compiled code."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reader.core.compiled import core
from reader.files.open_files import is_crowded
from reader.files.shard import ShardFile
from reader.files.shard_files import ShardFiles
from shardio.storage import RangeReader

# The answer of compiled code that has found all records in maps.
_MAPPED = 2


class Maps:
    """Maps of files by number, each made when it is first asked for.

    They are kept for as long as the set is open, through all of its streams: entering a file's
    pages into a new map takes as long as reading them from it. Making one needs the compiled code.
    """

    def __init__(self) -> None:
        # Each with its address; it is undone when it is forgotten.
        self._maps: dict[int, tuple[Any, int]] = {}
        self._lock = Lock()

    def address(self, number: int, descriptor: int, size: int) -> int:
        """Return the address of the map of a file of `size` bytes; 0 where none can be made."""
        with self._lock:
            if number not in self._maps:
                try:
                    self._maps[number] = core.map(descriptor, size)
                except OSError:
                    # Not every file system can; such a file is read.
                    self._maps[number] = None, 0
            return self._maps[number][1]


@dataclass(frozen=True)
class Places:
    """Where records are: files (int32), bytes in them, and addresses in maps, or None for all.

    As long as `files` live they stay open, and mapped.
    """

    descriptors: NDArray[np.int32]
    offsets: NDArray[np.int64]
    addresses: NDArray[np.int64] | None
    files: Files


@dataclass(frozen=True)
class Files:
    """Files that are open together, by the number of the shard, and their maps."""

    maps: Maps
    descriptors: NDArray[np.int32]
    addresses: NDArray[np.int64]
    held: list[RangeReader] = field(default_factory=list)


class MappedFiles:
    """Opens the files of `shards` when they are needed, at most `most` at once.

    `all_at_once` tells whether no more shards are there than may be open. Otherwise none is mapped:
    a map per read would cost more than it saves.
    """

    def __init__(self, shards: ShardFiles[ShardFile], stride: int, maps: Maps) -> None:
        self.most = shards.most
        self._shards = shards
        self._stride = stride
        self._maps = maps
        self.all_at_once = len(shards.shards) <= shards.most
        self._files = self._none()
        self._checked = np.zeros(len(shards.shards), dtype=bool)
        self._epochs = shards.epochs
        self._lock = Lock()

    def forget(self) -> None:
        """Hold no file any longer, but for those that are read from or opened just now."""
        # Without the lock: a thread that holds it to open files may be the one that calls this.
        self._files = self._none()

    def locate(self, ids: NDArray[np.int64]) -> Places:
        """Find the places of at most `most` records."""
        if self._epochs != self._shards.epochs:
            # Every shard is compared again when it is touched next.
            self._epochs = self._shards.epochs
            self._checked = np.zeros(len(self._checked), dtype=bool)
        count, files = len(ids), self._files
        descriptors = np.empty(count, dtype=np.int32)
        offsets, addresses = np.empty(count, dtype=np.int64), np.empty(count, dtype=np.int64)
        known = files.descriptors, files.addresses
        found = core.locate(
            ids, self._shards.ends, self._checked, *known, self._stride,
            descriptors, offsets, addresses,
        )  # fmt: skip
        if found == _MAPPED:
            return Places(descriptors, offsets, addresses, files)
        if not found:
            numbers, records = self._shards.locate(ids)
            files = self._open(sorted(set(numbers.tolist())))
            offsets = records * self._stride
            descriptors, bases = files.descriptors[numbers], files.addresses[numbers]
            # All or none: one that cannot be mapped is of a file system where none can.
            if bases.all():
                return Places(descriptors, offsets, bases + offsets, files)
        return Places(descriptors, offsets, None, files)

    def _open(self, numbers: list[int]) -> Files:
        """Make sure that shards are open and still the same."""
        with self._lock:
            # First, and not yet together with the others: they may have to be forgotten for it.
            opened = {number: self._shards.get(number) for number in numbers}
            self._checked[numbers] = True
            files = self._files
            fresh = [number for number in numbers if files.descriptors[number] < 0]
            crowded = is_crowded()
            if len(files.held) + len(fresh) > self.most or crowded:
                # Whoever reads from the old ones still holds them.
                files, fresh = self._none(), numbers
            for number in fresh:
                self._add(files, number, opened[number])
            self._files = self._none() if crowded else files
            return files

    def _none(self) -> Files:
        count = len(self._shards.shards)
        return Files(self._maps, np.full(count, -1, np.int32), np.zeros(count, np.int64))

    def _add(self, files: Files, number: int, file: RangeReader) -> None:
        descriptor = file.descriptor
        if self.all_at_once and descriptor >= 0:
            size = self._shards.shards[number].records * self._stride
            files.addresses[number] = self._maps.address(number, descriptor, size)
        files.descriptors[number] = descriptor
        files.held.append(file)
