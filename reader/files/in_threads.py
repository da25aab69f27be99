"""Work for every shard, several at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from threading import Event, Lock
from typing import TypeVar

from shardio.storage import FileInfo

_THREADS = 8

_T = TypeVar("_T")

# Called with the bytes that were done since the last call.
Progress = Callable[[int], object]


def in_threads(
    work: Callable[[FileInfo, Progress], _T],
    files: Sequence[FileInfo],
    progress: Progress,
    *,
    threads: int = _THREADS,
) -> list[_T]:
    """Do some work for every shard, several at once; after the first error all of it ends.

    The work tells the bytes that it has done, and `progress` is told them, one call at a time.
    """
    turn, ended = Lock(), Event()

    def tell(size: int) -> None:
        if ended.is_set():
            raise CancelledError
        with turn:
            progress(size)

    pool = ThreadPoolExecutor(threads, thread_name_prefix="shardio-index")
    waits = True
    try:
        waiting = [pool.submit(work, info, tell) for info in files]
        return [future.result() for future in waiting]
    except KeyboardInterrupt:
        waits = False  # a storage may keep its threads for a minute
        raise
    finally:
        ended.set()
        pool.shutdown(wait=waits, cancel_futures=True)
