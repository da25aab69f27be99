"""Where worker processes come from: forks of this process, or of one that is made for that."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.context import BaseContext, ForkContext, ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from converter.engines.semaphore import Semaphore

# The thread of jemalloc, which Arrow has from its import on.
_FORKED_WELL = ("jemalloc_bg_thd",)


class _Workers(BaseContext):
    """Starts processes, and remembers them; what they share has no names that could be left."""

    def __init__(self) -> None:
        super().__init__()
        self.started: list[BaseProcess] = []

    def Process(self, *arguments: Any, **options: Any) -> BaseProcess:
        """Make one and remember it."""
        process: BaseProcess = super().Process(*arguments, **options)  # type: ignore[misc]
        self.started.append(process)
        return process

    def Lock(self) -> Any:
        """Make one for a queue."""
        return Semaphore()

    def BoundedSemaphore(self, value: int = 1) -> Any:
        """Make one for a queue."""
        return Semaphore(value)


class OwnForks(_Workers, ForkContext):  # type: ignore[misc]
    """Forks this process. They start at once, with all that it has imported."""


class ServerForks(_Workers, ForkServerContext):  # type: ignore[misc]
    """Forks a process that has imported what workers need, and has nothing else of this one."""


def kill(workers: OwnForks | ServerForks) -> None:
    """Kill what is left, so that nobody waits for it."""
    for process in workers.started:
        if process.pid is not None and process.is_alive():
            process.kill()


def end(workers: OwnForks | ServerForks) -> None:
    """Kill what is left, where nobody else waits for it."""
    kill(workers)
    for process in workers.started:
        if process.pid is not None:
            process.join()


def why_none_started(workers: OwnForks | ServerForks) -> str:
    """Say why no worker got as far as its first job."""
    codes = [process.exitcode for process in workers.started if process.pid is not None]
    if isinstance(workers, OwnForks) or 1 not in codes:
        return (
            "the worker processes died (killed, or out of memory) before they had started; if "
            "the memory ran out, or there are too many processes, run it with fewer --workers"
        )
    return (
        "no worker process could start. A script that calls convert() must do so below "
        '`if __name__ == "__main__":`, since every worker imports it'
    )


@contextmanager
def forking() -> Iterator[None]:
    """Let later Pythons not warn of threads: `may_fork` has looked at them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def may_fork() -> bool:
    """Whether this process has one thread: a lock that another one holds is never given back.

    Threads of libraries count, but for those that end when the process is forked, as OpenBLAS's
    do: so that is tried first. Arrow's allocator sees to its own locks, too.
    """
    if threading.active_count() > 1:
        return False
    try:
        with forking():
            child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
        names = [task.read_text().strip() for task in Path("/proc/self/task").glob("*/comm")]
        return len([name for name in names if name not in _FORKED_WELL]) == 1
    except OSError:
        return False
