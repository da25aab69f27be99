"""What a run and its workers tell each other while they work."""

from __future__ import annotations

import time
from multiprocessing.context import BaseContext

POLL_SECONDS = 0.1
# Counters of a worker.
_KINDS = 4


class StoppedError(Exception):
    """The run is being stopped; raised inside a worker so that it cleans up."""


class WorkState:
    """What the parent and its workers share: counts of work done, and the wish to stop.

    Each worker has four counters of its own and only the parent reads them, without a lock: a
    worker that is killed while it holds a lock would keep it for ever.
    """

    def __init__(self, context: BaseContext, workers: int) -> None:
        self._counts = context.RawArray("q", _KINDS * workers)
        self._stop = context.RawValue("b", 0)
        self._claimed = context.Value("i", 0)
        self._first = 0
        self._taken = [0] * _KINDS

    @property
    def is_stopped(self) -> bool:
        """Whether the run is being stopped."""
        return bool(self._stop.value)

    @property
    def was_claimed(self) -> bool:
        """Whether a worker has ever started."""
        return bool(self._claimed.value)

    def claim(self) -> None:
        """Choose the counters of this worker."""
        with self._claimed.get_lock():
            self._first = _KINDS * self._claimed.value
            self._claimed.value += 1

    def image_done(self, size: int, rejected: bool, written: int) -> None:
        """Count an image; raises StoppedError when the run is being stopped."""
        if self._stop.value:
            raise StoppedError
        self._counts[self._first] += 1
        self._counts[self._first + 1] += size
        self._counts[self._first + 2] += rejected
        self._counts[self._first + 3] += written

    def pause(self, seconds: float) -> None:
        """Sleep; raises StoppedError when the run is being stopped."""
        end = time.monotonic() + seconds
        while not self._stop.value:
            left = end - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, POLL_SECONDS))
        raise StoppedError

    def take(self) -> tuple[int, int, int, int]:
        """Return images, bytes read, rejects and bytes written since the last call."""
        now = [sum(self._counts[kind::_KINDS]) for kind in range(_KINDS)]
        images, size, rejected, written = (a - b for a, b in zip(now, self._taken, strict=True))
        self._taken = now
        return images, size, rejected, written

    def stop(self) -> None:
        """Let every worker stop at its next image."""
        self._stop.value = 1
