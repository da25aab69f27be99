"""Files that threads read ahead of their use, within a bound of memory."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue

from shardio.errors import UnusableFileError

# Reads the file at a location, which may have so many bytes.
ReadFile = Callable[[str, int], bytes]
# What any file is given.
_LEAST_BUDGET = 1 << 16


class ReadingThreads:
    """Up to `max_threads` threads, started when they are needed; work begins in the order given.

    No process waits for them at its end, as for an executor's: a server may hang for minutes.
    """

    def __init__(self, max_threads: int) -> None:
        self._max_threads = max_threads
        self._count = 0
        self._idle = threading.Semaphore(0)
        self._work: SimpleQueue[tuple[Future[bytes], Callable[[], bytes]] | None] = SimpleQueue()
        self._closed = False

    def begin(self, read: Callable[[], bytes]) -> Future[bytes]:
        """Call `read` in a thread."""
        future: Future[bytes] = Future()
        self._work.put((future, read))
        if not self._idle.acquire(blocking=False) and self._count < self._max_threads:
            self._count += 1
            threading.Thread(target=self._run, name="shardio-images", daemon=True).start()
        return future

    def _run(self) -> None:
        while (work := self._work.get()) is not None and not self._closed:
            future, read = work
            try:
                future.set_result(read())
            except BaseException as error:
                future.set_exception(error)
            # Neither is kept while this waits.
            del future, read, work
            self._idle.release()

    def close(self) -> None:
        """End the threads after what they are doing; work that is not begun is dropped."""
        self._closed = True
        for _ in range(self._count):
            self._work.put(None)


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
