"""Work that takes long, done once by a thread of its own while pages are shown."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event, Lock, Thread
from typing import Generic, TypeVar

T = TypeVar("T")


class StoppedError(Exception):
    """The program ends, and the work with it."""


class Task(Generic[T]):
    """Does `work` once, from the first `start` on; `what` names it, `total` counts its parts.

    `work` is given a function that it tells how many parts were done.
    """

    def __init__(self, what: str, total: int, work: Callable[[Callable[[int], object]], T]) -> None:
        self.what = what
        self._work = work
        self._total = max(1, total)
        self._done = 0
        self._lock = Lock()
        self._thread: Thread | None = None
        self._ended = Event()
        self._stopping = False
        self._result: T | None = None
        self._error: Exception | None = None

    @property
    def share(self) -> float:
        """Which share is done."""
        return min(1.0, self._done / self._total)

    @property
    def is_begun(self) -> bool:
        """Whether it was started."""
        return self._thread is not None

    def start(self) -> None:
        """Begin, unless it was begun."""
        with self._lock:
            if self._thread is None:
                self._thread = Thread(target=self._run, name="shardio-browse")
                self._thread.start()

    def result(self, seconds: float) -> T | None:
        """Return the result, waiting for it a while; None where it takes longer.

        Raises what the work has raised.
        """
        self.start()
        if not self._ended.wait(seconds):
            return None
        if self._error is not None:
            raise self._error
        return self._result

    def stop(self) -> None:
        """Let the work end at the next part."""
        self._stopping = True

    def _count(self, parts: int) -> None:
        if self._stopping:
            raise StoppedError
        self._done += parts

    def _run(self) -> None:
        try:
            self._result = self._work(self._count)
        except Exception as error:
            self._error = error
        finally:
            self._ended.set()
