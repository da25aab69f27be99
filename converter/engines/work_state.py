"""What a run and its workers tell each other while they work."""

from __future__ import annotations

import time

from converter.engines.shared_integers import SharedIntegers

POLL_SECONDS = 0.1
# Counters of a worker.
_KINDS = 4
# Where it is whether the run is being stopped, and where the counters begin.
_STOP, _COUNTS = 0, 1


class StoppedError(Exception):
    """The run is being stopped; raised inside a worker so that it cleans up."""


class WorkState:
    """What the parent and its workers share: counts of work done, and whether to stop.

    Each worker has four counters of its own and only the parent reads them, without a lock: a
    worker that is killed while it holds a lock would keep it for ever.
    """

    def __init__(self, workers: int) -> None:
        self._integers = SharedIntegers(_COUNTS + _KINDS * workers)
        self._first = _COUNTS
        self._taken = [0] * _KINDS

    @property
    def is_stopped(self) -> bool:
        """Whether the run is being stopped."""
        return bool(self._integers[_STOP])

    def claim(self, number: int) -> None:
        """Count with the counters of worker `number`."""
        self._first = _COUNTS + _KINDS * number

    def image_done(self, size: int, rejected: bool, written: int) -> None:
        """Count an image; raises StoppedError when the run is being stopped."""
        if self._integers[_STOP]:
            raise StoppedError
        self._integers[self._first] += 1
        self._integers[self._first + 1] += size
        self._integers[self._first + 2] += rejected
        self._integers[self._first + 3] += written

    def pause(self, seconds: float) -> None:
        """Sleep; raises StoppedError when the run is being stopped."""
        end = time.monotonic() + seconds
        while not self._integers[_STOP]:
            left = end - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, POLL_SECONDS))
        raise StoppedError

    def take(self) -> tuple[int, int, int, int]:
        """Return images, bytes read, rejects and bytes written since the last call."""
        counts = list(self._integers)[_COUNTS:]
        now = [sum(counts[kind::_KINDS]) for kind in range(_KINDS)]
        images, size, rejected, written = (a - b for a, b in zip(now, self._taken, strict=True))
        self._taken = now
        return images, size, rejected, written

    def stop(self) -> None:
        """Stop every worker at its next image."""
        self._integers[_STOP] = 1
