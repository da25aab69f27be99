"""A folder of any storage as a mount shows it: files and folders below it, read-only."""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from dataclasses import dataclass, replace
from itertools import count
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from reader.mount.access import closed_above
from reader.mount.stream_ahead import AheadFile, AheadMemory
from shardio.errors import MissingFileError, StorageError, UnusableFileError
from shardio.storage import FileInfo
from shardio.storage.chooser import confined_to, local_path
from shardio.storage.paths import folder_of, join, name_of

# What a folder holds is asked again after so many seconds.
FRESH_SECONDS = 5.0
_MOST_LISTINGS = 100
_MOST_VERSIONS = 10_000


@dataclass(frozen=True)
class Listing:
    """What a folder held at some moment, by name."""

    files: dict[str, FileInfo]
    at: float


@dataclass(frozen=True)
class OpenFile:
    """An open file, and which version of it that was."""

    path: str
    identity: str
    bytes: AheadFile


@dataclass(frozen=True)
class Opened:
    """What opening a file gave: a handle, and whether the file is the one that was seen before."""

    handle: int
    is_same: bool
    is_known: bool


class MountedFolder:
    """The folder `url`; paths within it begin with a slash.

    With `shared`, other users see it too: then permissions are always those of the moment, where
    the folder is one of this machine. `closed` are those that folders above it take away from it.
    """

    def __init__(self, url: str, *, shared: bool = False) -> None:
        path = local_path(url)
        self.url = (url if path is None else os.path.abspath(path)).rstrip("/") or "/"
        self._is_local = path is not None
        self._shared = shared
        # For so long the kernel may answer by itself.
        self.fresh_seconds = 0.0 if shared and self._is_local else FRESH_SECONDS
        self.closed = 0
        self._storage = confined_to(self.url)
        self._itself: FileInfo | None = None
        self._listings: OrderedDict[str, Listing] = OrderedDict()
        self._files: dict[int, OpenFile] = {}
        self._versions: OrderedDict[str, str] = OrderedDict()
        self._handles = count(1)
        self._ahead = AheadMemory()
        self._lock = Lock()

    def check(self) -> None:
        """Raise MissingFileError or another StorageError unless the folder can be listed."""
        # Some file systems know a folder only by what is in it, and its root by nothing.
        found = self.list("/")
        try:
            self._itself = self._storage.stat(self.url)
        except MissingFileError:
            if not found:
                raise
            return
        if not self._itself.is_folder and not found:
            raise UnusableFileError(f"{self.url} is a file; mount the folder that it is in")
        if self._shared:
            self.closed = closed_above(self.url, self._itself.access)

    def list(self, path: str) -> dict[str, FileInfo]:
        """Return what a folder holds, by name."""
        path = path.rstrip("/") or "/"
        with self._lock:
            known = self._listings.get(path)
        if known is None or time.monotonic() - known.at > self.fresh_seconds:
            at = time.monotonic()
            found = self._storage.list(self._url(path))
            known = Listing({name_of(info.path): info for info in found}, at)
            with self._lock:
                self._listings[path] = known
                self._listings.move_to_end(path)
                while len(self._listings) > _MOST_LISTINGS:
                    self._listings.popitem(last=False)
        return known.files

    def stat(self, path: str) -> FileInfo | None:
        """Return what is known of a path, None for the folder itself where it is not known."""
        if path == "/":
            return self._stat_itself()
        if not self.fresh_seconds:
            return self._storage.stat(self._url(path))
        info = self.list(folder_of(path)).get(name_of(path))
        # It may have come since: a program that asks for it by name knows that it is there.
        return self._storage.stat(self._url(path)) if info is None else info

    def _stat_itself(self) -> FileInfo | None:
        # A server that does not answer must not hide that something is mounted.
        info = self._storage.stat(self.url) if self._is_local else self._itself
        if info is None or info.access is None:
            return info
        return replace(info, access=replace(info.access, mode=info.access.mode & ~self.closed))

    def open(self, path: str) -> Opened:
        """Open a file as it is now; handles of an older version give errors from now on.

        Raises UnusableFileError for a folder, StorageError for a file that is replaced meanwhile.
        """
        url = self._url(path)
        info = self._storage.stat(url)
        if info.is_folder:
            raise UnusableFileError(f"{url}: Is a directory")
        reader = self._storage.open_ranges(url)
        if (reader.identity or self._storage.stat(url).identity) != info.identity:
            reader.close()
            raise StorageError(f"{url}: was replaced while it was opened; open it again")
        with self._lock:
            handle = next(self._handles)
            self._files[handle] = OpenFile(
                path, info.identity, AheadFile(reader, info.size, self._ahead)
            )
            listing = self._listings.get(folder_of(path))
            listed = listing.files.get(name_of(path)) if listing is not None else None
            if listing is not None:
                listing.files[name_of(path)] = info
            before = self._versions.pop(path, None)
            self._versions[path] = info.identity
            while len(self._versions) > _MOST_VERSIONS:
                self._versions.popitem(last=False)
        return Opened(handle, before == info.identity, listed is None or listed == info)

    def read_into(self, handle: int, offset: int, memory: NDArray[np.uint8]) -> int:
        """Fill memory from an open file; returns how many bytes."""
        file = self._files[handle]
        self._check_version(file)
        size = file.bytes.read_into(offset, memory)
        # Also after it: the bytes go to a cache that knows the path only.
        self._check_version(file)
        return size

    def _check_version(self, file: OpenFile) -> None:
        if self._versions.get(file.path, file.identity) != file.identity:
            raise StorageError(f"{self._url(file.path)}: was replaced while it was read")

    def close(self, handle: int) -> None:
        """Close an open file."""
        self._files.pop(handle).bytes.close()

    def end(self) -> None:
        """Begin no more reads."""
        self._ahead.close()

    def _url(self, path: str) -> str:
        return self.url if path == "/" else join(self.url, path[1:])
