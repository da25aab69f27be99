"""Waiting for storage: reported after some seconds, interruptible, and never without an end.

Reports are warnings of the logger `shardio`; Python shows them on the standard error stream unless
a program says otherwise.
"""

from __future__ import annotations

import atexit
import concurrent.futures.thread  # first: what is registered after it is called before it
import contextlib
import itertools
import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")

# The first tries follow soon: most faults last for a moment.
_PAUSES = (0.1, 0.5, 1.0, 2.0, 4.0, 8.0)
_LAST_PAUSE = 15.0
# A wait is reported when it has taken so long, and no others for the same reason soon after it.
REPORT_SECONDS = 5.0
_QUIET_SECONDS = 10.0
# How often a wait looks whether anybody still wants its end.
_LOOK_SECONDS = 0.1
# The names of threads of our pools begin so.
_POOLS = "shardio-"

retries: list[None] = []  # one for each try of this process that was made again
_logger = logging.getLogger("shardio")
_reported: dict[str, float] = {}
# Set when the interpreter ends, before it joins the threads of pools.
_ending = threading.Event()
getattr(threading, "_register_atexit", atexit.register)(_ending.set)


def _is_for_nobody() -> bool:
    """Whether this thread belongs to a pool whose results are not taken any more."""
    return _ending.is_set() and threading.current_thread().name.startswith(_POOLS)


class _Asker(threading.local):
    """What tells a thread that whoever asked it has given up."""

    def __init__(self) -> None:
        self.has_gone: Callable[[], bool] = _is_for_nobody


_asker = _Asker()


@contextlib.contextmanager
def interrupted_by(has_gone: Callable[[], bool]) -> Iterator[None]:
    """Raise KeyboardInterrupt from waits of this thread once `has_gone` returns True.

    Only the main thread gets an interrupt from Python itself.
    """
    before = _asker.has_gone
    _asker.has_gone = lambda: has_gone() or before()
    try:
        yield
    finally:
        _asker.has_gone = before


def until(is_done: Callable[[float], bool], seconds: float) -> bool:
    """Call `is_done`, which waits for a given time, until it is True; False after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        left = max(0.0, end - time.monotonic())
        if is_done(min(left, _LOOK_SECONDS)):
            return True
        if _asker.has_gone():
            raise KeyboardInterrupt
        if not left:
            return False


def result_of(future: Future[T]) -> T:
    """Return the result of `future`, with a wait that `interrupted_by` ends."""
    if not future.done():
        until(lambda seconds: bool(concurrent.futures.wait([future], seconds).done), math.inf)
    return future.result()


@contextlib.contextmanager
def turn(lock: threading.Lock) -> Iterator[None]:
    """Hold a lock, with a wait that `interrupted_by` ends."""
    if _asker.has_gone is _is_for_nobody:
        with lock:
            yield
        return
    until(lambda seconds: lock.acquire(timeout=seconds), math.inf)
    try:
        yield
    finally:
        lock.release()


def sleep(seconds: float) -> None:
    """Wait, unless `interrupted_by` ends it."""

    def is_over(part: float) -> bool:
        time.sleep(part)
        return False

    until(is_over, seconds)


class Wait:
    """A wait of at most `seconds`, from now on or since it began."""

    def __init__(self, seconds: float, began: float | None = None) -> None:
        self.seconds = seconds
        self._began = time.monotonic() if began is None else began
        self.end = self._began + seconds
        self._is_reported = False

    @property
    def left(self) -> float:
        """Seconds that it will last at most."""
        return self.end - time.monotonic()

    @property
    def silent(self) -> float:
        """Seconds until it is to be reported."""
        return 0.0 if self._is_reported else self._began + REPORT_SECONDS - time.monotonic()

    def report(self, why: str, key: str = "") -> None:
        """Report why this takes so long, once it does; other waits with its key stay silent."""
        now = time.monotonic()
        if self._is_reported or now - self._began < REPORT_SECONDS:
            return
        self._is_reported = True
        key = key or why
        if now - _reported.get(key, -_QUIET_SECONDS) >= _QUIET_SECONDS:
            _reported[key] = now
            _logger.warning("%s; waiting for up to %.0f seconds more", why, max(0.0, self.left))


def patiently(
    action: Callable[[], T],
    is_passing: Callable[[BaseException], bool],
    wait: Wait,
    pause: Callable[[float], None] = sleep,
    key: str = "",
    since_failure: bool = False,
) -> T:
    """Call `action` until it succeeds, fails for good or `wait` is over; raises its last error.

    `pause` sleeps between the tries, and may raise. `key` is what the wait is for. With
    `since_failure` the wait begins when `action` has failed first.
    """
    for longest in itertools.chain(_PAUSES, itertools.repeat(_LAST_PAUSE)):
        try:
            return action()
        except BaseException as error:  # panics of compiled clients are no Exception
            if since_failure:
                wait, since_failure = Wait(wait.seconds), False
            if not is_passing(error) or wait.left <= 0:
                raise
            retries.append(None)
            why = str(error)
            seconds = min(longest, wait.left)
        while seconds > wait.silent > 0:
            part = wait.silent
            pause(part)
            seconds -= part
        wait.report(why, key)
        pause(seconds)
    raise AssertionError("unreachable")
