"""Threads that do the parts of one work at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from threading import Event
from typing import TypeVar

from shardio.storage.waiting import interrupted_by

_T = TypeVar("_T")
_R = TypeVar("_R")


class Threads:
    """At most `most` threads, which start when there is work, also in a process that was forked."""

    def __init__(self, most: int, name: str) -> None:
        self._most = most
        self._name = name
        self._process = -1
        self._threads: ThreadPoolExecutor

    def map(self, work: Callable[[_T], _R], items: Sequence[_T]) -> list[_R]:
        """Do the work for every item; all of it has ended when this returns or raises.

        So what the others wait for from a storage is given up after the first error, and after an
        interrupt.
        """
        if len(items) < 2:
            return [work(item) for item in items]
        if self._process != os.getpid():  # a fork copies no thread
            self._threads = ThreadPoolExecutor(self._most, thread_name_prefix=self._name)
            self._process = os.getpid()
        ended = Event()

        def do(item: _T) -> _R:
            with interrupted_by(ended.is_set):
                return work(item)

        futures = [self._threads.submit(do, item) for item in items]
        try:
            return [future.result() for future in futures]
        finally:
            ended.set()
            for future in futures:
                future.cancel()
            wait(futures)
