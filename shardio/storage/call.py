"""A call in a thread of its own, which is abandoned if it takes too long."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

from shardio.storage.waiting import Wait, until

T = TypeVar("T")

# So long the process waits at its end for calls that were abandoned: longer than the 5 seconds
# after which a read from a DataNode that hangs comes back.
_END_SECONDS = 8.0
# A thread of calls ends when it had none for so long.
_IDLE_SECONDS = 5.0
_CALLS = "shardio-call"


class NoAnswerError(Exception):
    """A call took too long, or the interpreter has ended its threads."""


class Call(Generic[T]):
    """A function that a thread calls, which is abandoned if it takes too long.

    So an interrupt ends the wait, too, whatever the function does. The threads are used again:
    starting one takes longer than a small read from a server.
    """

    def __init__(self, action: Callable[..., T], *arguments: Any) -> None:
        if sys.is_finalizing():  # a finalizer calls, and no thread but this one runs any more
            raise NoAnswerError
        self._action = action
        self._arguments = arguments
        # A lock, released at the end, and no event: while one is set garbage may be collected, and
        # who waits for it would wait for whatever a finalizer waits for.
        self.done = threading.Lock()
        self.done.acquire()
        self._result: T
        self._error: BaseException | None = None
        self._name = threading.current_thread().name
        _calls.add(self)
        _calls_of_a_thread().put(self)

    def run(self) -> None:
        """Call the function, in a thread that has the name of the one that waits."""
        threading.current_thread().name = self._name
        try:
            self._result = self._action(*self._arguments)
        except BaseException as error:
            self._error = error
        threading.current_thread().name = _CALLS

    def result(self, wait: Wait, what: str) -> T:
        """Return what the function returned; raises what it raised, or NoAnswerError.

        `what` is said to give no answer.
        """
        if not until(self.is_over, min(wait.left, wait.silent)):
            wait.report(f"no answer from {what}")
            if not until(self.is_over, wait.left):
                raise NoAnswerError
        if self._error is not None:
            raise self._error
        return self._result

    def is_over(self, seconds: float) -> bool:
        """Wait for so long at most; returns whether the function has returned."""
        is_over = self.done.acquire(timeout=max(0.0, seconds))
        if is_over:
            self.done.release()  # for others that wait
        return is_over


def leave(action: Callable[[], object]) -> None:
    """Call a function that nobody waits for; at the interpreter's end, do not.

    It is how a finalizer asks a server: it may be called in any thread at any place, where no
    interrupt ends a wait.
    """
    with contextlib.suppress(NoAnswerError):
        Call(action)


class _Answerer(threading.local):
    """Whether a thread answers calls."""

    answers = False


# Calls whose functions may not have returned yet, and threads that wait for the next one.
_calls: weakref.WeakSet[Call[Any]] = weakref.WeakSet()
_idle: list[SimpleQueue[Call[Any]]] = []
_answerer = _Answerer()


def _in_a_fork() -> None:
    _idle.clear()
    _calls.clear()


os.register_at_fork(after_in_child=_in_a_fork)


def _calls_of_a_thread() -> SimpleQueue[Call[Any]]:
    """Return what a thread takes calls from: one that waits for some or, without one, a new one.

    A thread that answers calls always gets a new one: a finalizer that calls may run in it while it
    says that it waits, and would wait for itself, or two of them for each other.
    """
    with contextlib.suppress(IndexError):
        if not _answerer.answers:
            return _idle.pop()
    calls: SimpleQueue[Call[Any]] = SimpleQueue()
    # It is given no call as an argument: a thread keeps its arguments until it ends.
    threading.Thread(target=_answer, args=(calls,), name=_CALLS, daemon=True).start()
    return calls


def _answer(calls: SimpleQueue[Call[Any]]) -> None:
    """Run calls, one after the other, until none has come for a while."""
    _answerer.answers = True
    while True:
        try:
            call = calls.get(timeout=_IDLE_SECONDS)
        except Empty:
            try:
                _idle.remove(calls)
            except ValueError:  # it was given one just now
                call = calls.get()
            else:
                return
        call.run()
        done = call.done
        # What nobody waits for ends here, and not when others may give this thread a call.
        del call
        # First: who goes on now may have the next call.
        _idle.append(calls)
        done.release()


def _end() -> None:
    """Wait for calls that were abandoned.

    A thread that comes back from one when the interpreter is gone makes the C library abort.
    """
    end = time.monotonic() + _END_SECONDS
    with contextlib.suppress(KeyboardInterrupt):
        for call in list(_calls):
            call.is_over(max(0.0, end - time.monotonic()))


atexit.register(_end)
