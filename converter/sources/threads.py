"""Threads for reading, which hold up nobody's end: a server may hang for minutes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue


class ReadingThreads:
    """Up to `most` threads, started when they are needed; what is begun first is given first.

    An executor's threads would be waited for when the process ends.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._count = 0
        self._idle = threading.Semaphore(0)
        self._work: SimpleQueue[tuple[Future[bytes], Callable[[], bytes]] | None] = SimpleQueue()
        self._closed = False

    def begin(self, read: Callable[[], bytes]) -> Future[bytes]:
        """Call `read` in a thread."""
        future: Future[bytes] = Future()
        self._work.put((future, read))
        if not self._idle.acquire(blocking=False) and self._count < self._most:
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
        """Let the threads end after what they are doing; what is not begun never is."""
        self._closed = True
        for _ in range(self._count):
            self._work.put(None)
