"""The shards of a set as descriptors and memory maps, for compiled code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from reader.core.maps import Maps
from reader.files.open_files import OpenFile, is_crowded
from reader.files.shard import ShardFile
from reader.files.shard_files import ShardFiles
from shardio.storage.local_files import LocalRanges

# What compiled code answers that has found all records in maps.
_MAPPED = 2


@dataclass(frozen=True)
class Places:
    """Where records are: files (int32), bytes in them, and addresses in maps, or None for all.

    As long as `files` live they stay open, and mapped.
    """

    descriptors: NDArray[np.int32]
    offsets: NDArray[np.int64]
    addresses: NDArray[np.int64] | None
    files: Files


class Files:
    """Files that are open together, by the number of the shard, and their maps."""

    def __init__(self, shards: int, maps: Maps) -> None:
        self.maps = maps
        self.descriptors = np.full(shards, -1, dtype=np.int32)
        self.addresses = np.zeros(shards, dtype=np.int64)
        self.held: list[OpenFile] = []


class MappedFiles:
    """Opens the files of `shards` as they are asked for, at most `most` at once.

    `all_at_once` tells whether no more shards are there than may be open. Otherwise none is mapped:
    a map per read would cost more than it saves.
    """

    def __init__(
        self, shards: ShardFiles[ShardFile], stride: int, maps: Maps, locate: Callable[..., int]
    ) -> None:
        """Be the files of shards; `locate` is that of the compiled code."""
        self.most = shards.most
        self._shards = shards
        self._stride = stride
        self._maps = maps
        self._find = locate
        self.all_at_once = len(shards.shards) <= shards.most
        self._files = Files(len(shards.shards), maps)
        self._checked = np.zeros(len(shards.shards), dtype=bool)
        self._epochs = shards.epochs
        self._lock = Lock()

    def forget(self) -> None:
        """Hold no file any longer, but for those that are read from or opened just now."""
        # Without the lock: who opens files, and has it, may be the one who asks all to forget.
        self._files = Files(len(self._shards.shards), self._maps)

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
        found = self._find(
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
                files, fresh = Files(len(self._shards.shards), self._maps), numbers
            for number in fresh:
                self._add(files, number, opened[number])
            self._files = Files(len(self._shards.shards), self._maps) if crowded else files
            return files

    def _add(self, files: Files, number: int, file: OpenFile) -> None:
        descriptor = file.reader.fileno() if isinstance(file.reader, LocalRanges) else -1
        if self.all_at_once and descriptor >= 0:
            size = self._shards.shards[number].records * self._stride
            files.addresses[number] = self._maps.address(number, descriptor, size)
        files.descriptors[number] = descriptor
        files.held.append(file)
