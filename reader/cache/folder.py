"""A folder of a local disk with copies of shards, shared by all processes that name it.

    .shardio.lock            held for a moment by the process that makes room
    SET/.open                a lock shared by all that have the set open: its copies stay; what it
                             holds says which set that is, to people
    SET/.filling             held by the process that copies shards of the set
    SET/KEY-SHARD            a whole copy; its time of modification is that of its last use
    SET/.KEY-SHARD.*.tmp     one that is being written, of its full size from the start

SET and KEY are digests of what is copied from where, 24 digits long. Other files are left alone. A
lock ends with the process that holds it, however that ends; what a process leaves half-written is
removed by the next one that copies shards of the set, or that makes room.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import BinaryIO

from reader.cache.cached_set import COPY, OPEN, CachedSet, Origin, cached_set, copies_in, is_copy
from shardio.errors import MissingFileError, OptionError, StorageError
from shardio.sizes import parse_bytes
from shardio.storage import storage_for
from shardio.storage.folder_lock import try_lock, unlock
from shardio.storage.links import refuse_link
from shardio.storage.paths import scheme_of
from shardio.storage.temporary import final_name

_DIGEST = re.compile(r"[0-9a-f]{24}")
_LOCK = ".shardio.lock"
_FILLING = ".filling"
# Making room takes milliseconds; a longer wait is one for a process that hangs.
_LOCK_SECONDS = 30.0
# Others need the disk too, for checkpoints above all: a twentieth of it stays free, or this.
_RESERVE = 10 * 10**9


class CacheWarning(UserWarning):
    """Shards are read from their source although a cache was asked for, and why."""


class NoRoomError(Exception):
    """There is no room for a copy: within the limit or, if `disk_is_full`, on the disk."""

    def __init__(self, reason: str, *, disk_is_full: bool) -> None:
        super().__init__(reason)
        self.disk_is_full = disk_is_full


@dataclass(frozen=True)
class _Idle:
    """A copy of a set that nobody has open."""

    used: float
    path: str
    size: int


@dataclass(frozen=True)
class ShardCache:
    """The cache in `folder`, of at most `limit` bytes, or as large as the disk allows.

    When room is needed, the copies go first that were not used for longest, but none of a set that
    is open in any process. So a set that is larger than the cache fills it once and keeps that
    part: to replace one of its shards by another within an epoch would mean that each is gone
    before it is read again.
    """

    folder: str
    limit: int | None = None

    @classmethod
    def of(cls, folder: str | os.PathLike[str], limit: int | str | None) -> ShardCache:
        """Make one from what the user says."""
        text = os.fspath(folder)
        if not text or scheme_of(text) is not None:
            raise OptionError(f"cache must be a folder of this machine, not {text!r}")
        return cls(
            os.path.abspath(text), None if limit is None else parse_bytes(limit, "cache_limit")
        )

    def set_folder(self, digest: str) -> str:
        """Return the folder of a set."""
        return os.path.join(self.folder, digest)

    def open_set(self, folder: str, origin: Origin) -> int:
        """Mark the set of a folder as in use until the returned descriptor is closed.

        What is there is held against the limit before, which may have been another one. `origin`
        is for people who look at the cache.
        """
        with self._turn():
            if self.limit is not None:
                self._make_room(0, at_any_rate=True)
            refuse_link(folder)
            lock = try_lock(os.path.join(folder, OPEN), shared=True)
            assert lock is not None  # others have it for themselves in their turn only
            with suppress(OSError):  # on a full disk it is not said
                text = json.dumps(asdict(origin)).encode()
                os.ftruncate(lock, os.pwrite(lock, text, 0))
        return lock

    def sets(self) -> list[CachedSet]:
        """Return what the cache holds, the sets first that were not used for longest.

        Raises MissingFileError where there is no such folder.
        """
        try:
            found = map(cached_set, self._sets())
            return sorted(found, key=lambda cached: (cached.used, cached.name))
        except FileNotFoundError:
            raise MissingFileError(f"there is no folder {self.folder}") from None

    def clear(self, names: Collection[str]) -> None:
        """Remove the copies of sets by their names, but for those of a set that is open."""
        with self._turn(), ExitStack() as held:
            idle: list[_Idle] = []
            for folder in self._sets():
                if os.path.basename(folder) in names:
                    _look(folder, idle, held)
                    for copy in idle:
                        os.unlink(copy.path)
                    if idle or not copies_in(folder):
                        _remove_if_empty(folder)
                    idle.clear()

    @contextmanager
    def filling(self, folder: str) -> Iterator[bool]:
        """Try to become the process that fills a set; yields False if another one is filling it."""
        lock = try_lock(os.path.join(folder, _FILLING))
        try:
            if lock is not None:
                _remove_unfinished(folder)
            yield lock is not None
        finally:
            if lock is not None:
                unlock(lock)

    @contextmanager
    def write(self, path: str, size: int) -> Iterator[BinaryIO]:
        """Give a file of `size` bytes, which becomes the copy `path` if nothing is raised.

        Raises NoRoomError where it does not fit in.
        """
        attempt = f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
        with ExitStack() as stack:
            with self._turn():
                self._make_room(size)
                file = stack.enter_context(storage_for(path).publish(path, attempt=attempt))
                # Others see at once what it will take, and a full disk shows now.
                os.posix_fallocate(file.fileno(), 0, size)
            yield file

    @contextmanager
    def _turn(self) -> Iterator[None]:
        path = os.path.join(self.folder, _LOCK)
        end = time.monotonic() + _LOCK_SECONDS
        while (lock := try_lock(path)) is None:
            if time.monotonic() > end:
                raise StorageError(f"another process does not give back {path}")
            time.sleep(0.005)
        try:
            yield
        finally:
            unlock(lock)

    def _make_room(self, size: int, *, at_any_rate: bool = False) -> None:
        """Evict idle copies, least recently used first, until `size` more bytes fit.

        Where they cannot fit, evict nothing and raise NoRoomError, unless `at_any_rate`.
        """
        with ExitStack() as held:
            idle: list[_Idle] = []
            taken = sum(_look(folder, idle, held) for folder in self._sets())
            disk = shutil.disk_usage(self.folder)
            within = 0 if self.limit is None else taken + size - self.limit
            on_disk = size + min(disk.total // 20, _RESERVE) - disk.free if size else 0
            over = max(within, on_disk)
            if over > sum(copy.size for copy in idle) and not at_any_rate:
                raise NoRoomError(
                    f"{self.folder} has too little space: {disk.free:,} bytes are free, and some "
                    "of them are kept for other programs"
                    if on_disk > within
                    else f"{self.folder} is full",
                    disk_is_full=on_disk > within,
                )
            for copy in sorted(idle, key=lambda copy: copy.used):
                if over <= 0:
                    break
                os.unlink(copy.path)
                over -= copy.size
                _remove_if_empty(os.path.dirname(copy.path))

    def _sets(self) -> list[str]:
        with os.scandir(self.folder) as entries:
            found = [
                entry.path
                for entry in entries
                if _DIGEST.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)
            ]
        return sorted(path for path in found if os.path.exists(os.path.join(path, OPEN)))


def _look(folder: str, idle: list[_Idle], held: ExitStack) -> int:
    """Return the bytes in the folder of a set; where nobody has it open, its copies are idle.

    Nobody opens it as long as `held` is.
    """
    lock = try_lock(os.path.join(folder, OPEN))
    if lock is not None:
        held.callback(unlock, lock)
        _remove_unfinished(folder)
    taken = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name == OPEN:
                continue  # some hundred bytes, which are no copy
            with suppress(FileNotFoundError):
                status = entry.stat(follow_symlinks=False)
                taken += status.st_size
                if lock is not None and is_copy(entry):
                    idle.append(_Idle(status.st_mtime, entry.path, status.st_size))
    return taken


def _remove_unfinished(folder: str) -> None:
    """Remove what was being written by a process that ended."""
    for name in os.listdir(folder):
        final = final_name(name)
        if final is not None and COPY.fullmatch(final):
            with suppress(FileNotFoundError):
                os.unlink(os.path.join(folder, name))


def _remove_if_empty(folder: str) -> None:
    if not copies_in(folder):
        for name in (_FILLING, OPEN):
            with suppress(FileNotFoundError):
                os.unlink(os.path.join(folder, name))
        with suppress(OSError):  # another program has put something in it
            os.rmdir(folder)
