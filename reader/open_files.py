"""A bounded number of open shards, the least recently used closed first."""

from __future__ import annotations

import resource
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

from shardio.storage import RangeReader

# A process may read several sets at once, and has files of its own: an eighth of its limit each.
_LIMIT, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
MAX_OPEN = 256 if _LIMIT == resource.RLIM_INFINITY else max(8, min(256, _LIMIT // 8))


class OpenFiles:
    """Open files by number, at most `most`, for many threads.

    `open_file` opens the file of a number. A file that is pushed out is closed by the last thread
    that still reads from it, since closing a descriptor under a read could hit another file that
    has got the same number.
    """

    def __init__(self, open_file: Callable[[int], RangeReader], most: int = MAX_OPEN) -> None:
        self._open_file = open_file
        self.most = most
        self._files: OrderedDict[int, OpenFile] = OrderedDict()
        self._lock = Lock()

    def get(self, number: int) -> OpenFile:
        """Return the file; it stays open as long as the caller holds the result."""
        with self._lock:
            file = self._files.get(number)
            if file is not None:
                self._files.move_to_end(number)
                return file
        fresh = OpenFile(self._open_file(number))
        with self._lock:
            # Another thread may have been quicker; its file serves as well.
            file = self._files.setdefault(number, fresh)
            self._files.move_to_end(number)
            if len(self._files) > self.most:
                self._files.popitem(last=False)
        return file

    def forget(self, number: int) -> None:
        """Close a file as soon as nobody reads from it."""
        with self._lock:
            self._files.pop(number, None)

    def close(self) -> None:
        """Forget all files."""
        with self._lock:
            self._files.clear()


class OpenFile:
    """Closes its file when nobody refers to it any more."""

    def __init__(self, reader: RangeReader) -> None:
        self.reader = reader
        self.read_into = reader.read_into

    def __del__(self) -> None:
        self.reader.close()
