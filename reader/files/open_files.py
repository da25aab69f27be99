"""A bounded number of open shards, the least recently used closed first."""

from __future__ import annotations

import errno
import os
import resource
import time
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Protocol
from weakref import WeakSet

from shardio.errors import StorageError
from shardio.storage import RangeReader

# A process may read several sets at once, and has files of its own: an eighth of its limit each.
_LIMIT, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
MAX_OPEN = 256 if _LIMIT == resource.RLIM_INFINITY else max(8, min(256, _LIMIT // 8))

# Between tries to open a file when there are too many.
_PAUSES = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0)
_CROWDED_SECONDS = 10.0
_crowded_until = 0.0


class Holder(Protocol):
    """Holds open files that it can open again."""

    def forget(self) -> None:
        """Close all files that are not in use."""


_holders: WeakSet[Holder] = WeakSet()
_holders_lock = Lock()


def _renew_lock() -> None:
    """Give a forked process a lock that no thread of its parent has taken."""
    global _holders_lock
    _holders_lock = Lock()


os.register_at_fork(after_in_child=_renew_lock)


def register(holder: Holder) -> None:
    """Register a holder, which has to forget its files when the process can open no more."""
    with _holders_lock:
        _holders.add(holder)


def is_crowded() -> bool:
    """Whether the process could open no more files just now; then nobody keeps any for later."""
    return time.monotonic() < _crowded_until


def _forget_all() -> None:
    global _crowded_until  # the limit is the process's, too
    _crowded_until = time.monotonic() + _CROWDED_SECONDS
    with _holders_lock:
        holders = list(_holders)
    for holder in holders:
        holder.forget()


class OpenFiles:
    """Open files by number, at most `most`, for many threads.

    A file that is pushed out is closed when the last thread that reads from it forgets it: closing
    a descriptor under a read could hit another file that has got the same number. When the process
    has as many files open as it may, all that all sets hold are given back.
    """

    def __init__(self, most: int = MAX_OPEN) -> None:
        self.most = most
        self._files: OrderedDict[int, RangeReader] = OrderedDict()
        self._lock = Lock()
        register(self)

    def get(self, number: int, open_file: Callable[[int], RangeReader]) -> RangeReader:
        """Return the file of a number, opening it if need be.

        It stays open as long as the caller holds the result.
        """
        with self._lock:
            file = self._files.get(number)
            if file is not None:
                self._files.move_to_end(number)
                return file
        fresh = _open(number, open_file)
        if is_crowded():
            return fresh
        pushed_out = None
        with self._lock:
            # Another thread may have been quicker; its file serves as well.
            file = self._files.setdefault(number, fresh)
            self._files.move_to_end(number)
            if len(self._files) > self.most:
                pushed_out = self._files.popitem(last=False)
        del pushed_out  # without the lock: it may be closed by that, and whoever closes it calls us
        return file

    def drop(self, number: int) -> None:
        """Close a file as soon as nobody reads from it."""
        with self._lock:
            dropped = self._files.pop(number, None)
        del dropped

    def forget(self) -> None:
        """Forget all files."""
        with self._lock:
            files, self._files = self._files, OrderedDict()
        files.clear()


def _are_too_many(error: StorageError) -> bool:
    # Not where it would be kept in a variable: an error refers to the frames of all its callers,
    # and so to the files that they hold.
    cause = error.__cause__
    return isinstance(cause, OSError) and cause.errno in (errno.EMFILE, errno.ENFILE)


def _open(number: int, open_file: Callable[[int], RangeReader]) -> RangeReader:
    for seconds in _PAUSES:
        try:
            return open_file(number)
        except StorageError as error:
            if not _are_too_many(error):
                raise
        _forget_all()
        # Those that other threads read from just now are closed when they have done so.
        time.sleep(seconds)
    return open_file(number)
