"""Threads for reading that no process waits for at its end: a server may hang for minutes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue


class ReadingThreads:
    """Up to `max_threads` threads, started when they are needed; work begins in the order given.

    An executor's threads would be waited for when the process ends.
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
