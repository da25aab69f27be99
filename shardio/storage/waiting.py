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
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

T = TypeVar("T")

# The first tries follow soon: most faults last for a moment.
_PAUSES = (0.1, 0.5, 1.0, 2.0, 4.0, 8.0)
_LAST_PAUSE = 15.0
# A wait is reported when it has taken so long, and no others for the same reason soon after it.
REPORT_SECONDS = 5.0
_QUIET_SECONDS = 10.0
# So long the process waits at its end for calls that were abandoned: longer than the 5 seconds
# after which a read from a DataNode that hangs comes back.
_END_SECONDS = 8.0
# How often a wait looks whether anybody still wants its end.
_LOOK_SECONDS = 0.1
# A thread of calls ends when it had none for so long.
_IDLE_SECONDS = 5.0
_CALLS = "shardio-call"
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


def _until(is_done: Callable[[float], bool], seconds: float) -> bool:
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
        _until(lambda seconds: bool(concurrent.futures.wait([future], seconds).done), math.inf)
    return future.result()


@contextlib.contextmanager
def turn(lock: threading.Lock) -> Iterator[None]:
    """Hold a lock, with a wait that `interrupted_by` ends."""
    if _asker.has_gone is _is_for_nobody:
        with lock:
            yield
        return
    _until(lambda seconds: lock.acquire(timeout=seconds), math.inf)
    try:
        yield
    finally:
        lock.release()


def sleep(seconds: float) -> None:
    """Wait, unless `interrupted_by` ends it."""

    def is_over(part: float) -> bool:
        time.sleep(part)
        return False

    _until(is_over, seconds)


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


class NoAnswerError(Exception):
    """A call took too long."""


class Call(Generic[T]):
    """A function that a thread calls, which is abandoned if it takes too long.

    So an interrupt ends the wait, too, whatever the function does. The threads are used again:
    starting one takes longer than a small read from a server.
    """

    def __init__(self, action: Callable[..., T], *arguments: Any) -> None:
        self._action = action
        self._arguments = arguments
        self._done = threading.Event()
        self._result: T
        self._error: BaseException | None = None
        self._name = threading.current_thread().name
        _calls.add(self)
        try:
            _idle.pop().put(self)
        except IndexError:
            threading.Thread(target=_answer, args=(self,), name=_CALLS, daemon=True).start()

    def run(self) -> None:
        """Call the function, in a thread that has the name of the one that waits."""
        threading.current_thread().name = self._name
        try:
            self._result = self._action(*self._arguments)
        except BaseException as error:
            self._error = error
        threading.current_thread().name = _CALLS

    def finish(self) -> None:
        """Let the one that waits go on."""
        self._done.set()

    def result(self, wait: Wait, what: str) -> T:
        """Return what the function returned; raises what it raised, or NoAnswerError.

        `what` is said to give no answer.
        """
        if not _until(self._done.wait, min(wait.left, wait.silent)):
            wait.report(f"no answer from {what}")
            if not _until(self._done.wait, wait.left):
                raise NoAnswerError
        if self._error is not None:
            raise self._error
        return self._result

    def is_over(self, seconds: float) -> bool:
        """Wait for so long at most; returns whether the function has returned."""
        return self._done.wait(seconds)


# Calls whose functions may not have returned yet, and threads that wait for the next one.
_calls: weakref.WeakSet[Call[Any]] = weakref.WeakSet()
_idle: list[SimpleQueue[Call[Any]]] = []
os.register_at_fork(after_in_child=_idle.clear)


def _answer(call: Call[Any]) -> None:
    """Run calls, one after the other, until none has come for a while."""
    calls: SimpleQueue[Call[Any]] = SimpleQueue()
    while True:
        call.run()
        # First: who goes on now may have the next call.
        _idle.append(calls)
        call.finish()
        del call
        try:
            call = calls.get(timeout=_IDLE_SECONDS)
        except Empty:
            try:
                _idle.remove(calls)
            except ValueError:  # it was given one just now
                call = calls.get()
            else:
                return


def _end() -> None:
    """Wait for calls that were abandoned.

    A thread that comes back from one when the interpreter is gone makes the C library abort.
    """
    end = time.monotonic() + _END_SECONDS
    with contextlib.suppress(KeyboardInterrupt):
        for call in list(_calls):
            call.is_over(max(0.0, end - time.monotonic()))


atexit.register(_end)
