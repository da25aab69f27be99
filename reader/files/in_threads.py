"""Work for every shard, several at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from threading import Event, Lock
from typing import TypeVar

from shardio.storage import FileInfo

_THREADS = 8
# After an interrupt work ends at its next step, but for what a storage keeps waiting, for a minute
# maybe.
_LAST_SECONDS = 5.0

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
    waiting: list[Future[_T]] = []
    waits = True
    try:
        waiting += [pool.submit(work, info, tell) for info in files]
        return [future.result() for future in waiting]
    except KeyboardInterrupt:
        ended.set()
        pool.shutdown(wait=False, cancel_futures=True)
        wait([future for future in waiting if not future.cancelled()], _LAST_SECONDS)
        waits = False
        raise
    finally:
        ended.set()
        pool.shutdown(wait=waits, cancel_futures=True)
