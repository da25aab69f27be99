"""The threads that decode images, one for each processor."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

_T = TypeVar("_T")
_R = TypeVar("_R")

# More of them than this only fight for the interpreter.
_MOST = 16
DECODERS = min(len(os.sched_getaffinity(0)), _MOST)


class DecodeThreads:
    """Threads that start when there is work, also in a process that was forked off."""

    def __init__(self) -> None:
        self._process = -1
        self._threads: ThreadPoolExecutor

    def map(self, work: Callable[[_T], _R], items: Sequence[_T]) -> list[_R]:
        """Do the work for every item; all of it has ended when this returns or raises."""
        if len(items) < 2:
            return [work(item) for item in items]
        if self._process != os.getpid():  # a fork copies no thread
            self._threads = ThreadPoolExecutor(DECODERS, thread_name_prefix="shardio-decode")
            self._process = os.getpid()
        futures = [self._threads.submit(work, item) for item in items]
        try:
            return [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()
            wait(futures)
