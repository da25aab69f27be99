"""Files that threads read ahead of their use, within a bound of memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from functools import partial

from converter.sources.threads import ReadingThreads
from shardio.errors import UnusableFileError

# Reads the file at a location, which may have so many bytes.
ReadFile = Callable[[str, int], bytes]
# What any file is given.
_LEAST_BUDGET = 1 << 16


class _AheadFile:
    """A file that is read ahead; its `size` is its budget until it is read."""

    data: Future[bytes]

    def __init__(self, location: str, budget: int) -> None:
        self.location = location
        self.budget = self.size = budget


class FilesAhead:
    """The files at `locations`, up to `files` and `limit` bytes of them ahead of their use.

    How large a file is shows only while it is read. So each is given a budget, a little more than
    the largest of those before it had (`sizes`), and all that are ahead have the limit together. A
    file that has more is read when its turn comes, when it may have `max_bytes`.
    """

    def __init__(
        self,
        locations: Sequence[str],
        read: ReadFile,
        sizes: Collection[int],
        *,
        threads: int,
        files: int,
        limit: int,
        max_bytes: int,
    ) -> None:
        self._waiting = deque(locations)
        self._read = read
        self._files = files
        self._limit = limit
        self._max_bytes = max_bytes
        self._sizes = sizes
        self._threads = ReadingThreads(threads)
        self._ahead: deque[_AheadFile] = deque()

    @property
    def size(self) -> int:
        """Bytes that the files ahead have or may have."""
        return sum(file.size for file in self._ahead)

    def take(self) -> bytes:
        """Return the bytes of the next file or raise its error."""
        if not self._ahead:
            self._begin()
        file = self._ahead.popleft()
        while self._waiting and len(self._ahead) < self._files and self._has_room():
            self._begin()
        # One that is not raised keeps no bytes of the next files.
        error = file.data.exception()
        if isinstance(error, UnusableFileError) and file.budget < self._max_bytes:
            return self._read(file.location, self._max_bytes)
        return file.data.result()

    @property
    def _budget(self) -> int:
        return min(self._max_bytes, max(_LEAST_BUDGET, max(self._sizes) * 5 // 4))

    def _has_room(self) -> bool:
        return self.size + self._budget <= self._limit

    def _begin(self) -> None:
        file = _AheadFile(self._waiting.popleft(), self._budget)
        file.data = self._threads.begin(partial(self._read_one, file))
        self._ahead.append(file)

    def _read_one(self, file: _AheadFile) -> bytes:
        data = b""
        try:
            data = self._read(file.location, file.budget)
        finally:
            file.size = len(data)
        return data

    def close(self) -> None:
        """End the threads."""
        self._threads.close()
