"""Moments in which no interrupt comes."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def no_interrupts() -> Iterator[None]:
    """Hold Ctrl-C and SIGTERM back for a moment.

    What starts meanwhile inherits that: Ctrl-C reaches the whole group, and a process that still
    imports would die of it with a traceback. And this process must not lose one that has started.
    """
    handlers: dict[int, Callable[..., object]] = {}
    late: list[tuple[int, object]] = []
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    if threading.current_thread() is threading.main_thread():
        # Threads of libraries get signals, too, and Python then tells the main thread.
        for number in map(int, (signal.SIGINT, signal.SIGTERM)):
            if callable(handler := signal.getsignal(number)):
                handlers[number] = handler
                signal.signal(number, lambda *what: late.append(what))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for what in late[:1]:
            handlers[what[0]](*what)
