"""The engine that works in processes of this machine, by default one a core."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import wait as wait_for_sentinels
from multiprocessing.context import ForkServerContext, ForkServerProcess
from typing import Any

from converter.engines.protocol import Jobs, Progress
from converter.one_arena import use_one_arena
from converter.shard import ShardJob, ShardResult, convert_shard
from shardio.errors import WorkerError

_POLL_SECONDS = 0.1
# Counters of a worker.
_KINDS = 4
# Workers stop by themselves in that time, or else they are killed: they wait for a slow storage, or
# decode an image of many megapixels.
_STOP_SECONDS = 1.0
# At the end of a run that went well nothing is lost by waiting.
_END_SECONDS = 10.0
_WATCH_SECONDS = 0.5


class StoppedError(Exception):
    """The run is being stopped; raised inside a worker so that it cleans up."""


class ProcessesEngine:
    """Runs jobs in `workers` processes, forked from one that has imported what they need.

    Not from this one: a fork copies whatever threads and clients the caller has open, and locks
    that are held at that moment stay locked in the child.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._context = _Context()

    def get_ready(self) -> None:
        """Start the process that the workers are forked from.

        It imports while the table is read.
        """
        # Where the caller uses one already it stays as it is, and each worker imports by itself.
        self._context.set_forkserver_preload(["converter.engines.warm"])
        resource_tracker.ensure_running()  # first: it lets interrupts through again
        with _no_interrupts():
            forkserver.ensure_running()

    def run(self, jobs: Jobs, progress: Progress) -> Generator[ShardResult, None, None]:
        """Run every job and yield its result as soon as it is there."""
        self.get_ready()
        workers = max(1, min(self._workers, len(jobs.names)))
        shared = _Shared(self._context, workers)
        self._context.started.clear()
        seconds = _STOP_SECONDS
        pool = ProcessPoolExecutor(
            workers, mp_context=self._context, initializer=_start_worker, initargs=(shared,)
        )
        waiting = iter(jobs.names)
        running: dict[Future[ShardResult], str] = {}
        try:
            while True:
                # One job more than there are workers: none waits, and few job lists are held.
                for name in islice(waiting, workers + 1 - len(running)):
                    job = jobs.job(name)
                    running[_submit(pool, job)] = str(name)
                if not running:
                    seconds = _END_SECONDS
                    return
                ready, _ = wait(running, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
                progress.advance(*shared.take())
                for future in ready:
                    result = future.result()
                    del running[future]
                    yield result
        except BrokenProcessPool as error:
            if not shared.was_claimed:
                raise WorkerError(self._context.why_none_started()) from error
            raise WorkerError(
                "a worker process died (killed, or out of memory) while these shards were being "
                f"made: {', '.join(sorted(running.values()))}. Finished shards are kept: run the "
                "same command again to go on, with fewer --workers if the memory ran out"
            ) from error
        finally:
            shared.stop()
            killer = threading.Timer(seconds, self._context.kill)
            killer.start()
            pool.shutdown(wait=True, cancel_futures=True)
            killer.cancel()
            progress.advance(*shared.take())


class _Context(ForkServerContext):
    """Starts processes from the fork server, and remembers them."""

    def __init__(self) -> None:
        super().__init__()
        self.started: list[ForkServerProcess] = []

    def Process(self, *arguments: Any, **options: Any) -> ForkServerProcess:  # type: ignore[override]
        process = ForkServerProcess(*arguments, **options)
        self.started.append(process)
        return process

    def kill(self) -> None:
        """Kill what is left, so that nobody waits for it."""
        for process in self.started:
            if process.pid is not None and process.is_alive():
                process.kill()

    def why_none_started(self) -> str:
        """Say why no worker got as far as its first job."""
        if 1 not in [process.exitcode for process in self.started if process.pid is not None]:
            return (
                "the worker processes died (killed, or out of memory) before they had started; if "
                "the memory ran out, run it with fewer --workers"
            )
        return (
            "no worker process could start. A script that calls convert() must do so below "
            '`if __name__ == "__main__":`, since every worker imports it'
        )


def _submit(pool: ProcessPoolExecutor, job: ShardJob) -> Future[ShardResult]:
    try:
        with _no_interrupts(), _no_false_main():
            return pool.submit(_run_job, job)
    except OSError as error:  # the pool is closing its pipes, since a worker has died just now
        raise BrokenProcessPool(str(error)) from error


@contextmanager
def _no_false_main() -> Iterator[None]:
    """Let workers not look for the file of a script that came from the standard input."""
    main = sys.modules["__main__"]
    file = getattr(main, "__file__", None)
    if file is None or getattr(main, "__spec__", None) is not None or os.path.exists(file):
        yield
        return
    del main.__file__
    try:
        yield
    finally:
        main.__file__ = file


@contextmanager
def _no_interrupts() -> Iterator[None]:
    """Hold Ctrl-C back for a moment: what starts inherits that, and the parent gets it.

    It reaches the whole group, and a process that still imports would die of it with a traceback.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Shared:
    """What the parent and its workers share: counts of work done, and the wish to stop.

    Each worker has four counters of its own and only the parent reads them, without a lock: a
    worker that is killed while it holds a lock would keep it for ever.
    """

    def __init__(self, context: ForkServerContext, workers: int) -> None:
        self._counts = context.RawArray("q", _KINDS * workers)
        self._stop = context.RawValue("b", 0)
        self._claimed = context.Value("i", 0)
        self._first = 0
        self._taken = [0] * _KINDS

    @property
    def is_stopped(self) -> bool:
        """Whether the run is being stopped."""
        return bool(self._stop.value)

    @property
    def was_claimed(self) -> bool:
        """Whether a worker has ever started."""
        return bool(self._claimed.value)

    def claim(self) -> None:
        """Choose the counters of this worker."""
        with self._claimed.get_lock():
            self._first = _KINDS * self._claimed.value
            self._claimed.value += 1

    def image_done(self, size: int, rejected: bool, written: int) -> None:
        """Count an image; raises StoppedError when the run is being stopped."""
        if self._stop.value:
            raise StoppedError
        self._counts[self._first] += 1
        self._counts[self._first + 1] += size
        self._counts[self._first + 2] += rejected
        self._counts[self._first + 3] += written

    def pause(self, seconds: float) -> None:
        """Sleep; raises StoppedError when the run is being stopped."""
        end = time.monotonic() + seconds
        while not self._stop.value:
            left = end - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, _POLL_SECONDS))
        raise StoppedError

    def take(self) -> tuple[int, int, int, int]:
        """Return images, bytes read, rejects and bytes written since the last call."""
        now = [sum(self._counts[kind::_KINDS]) for kind in range(_KINDS)]
        images, size, rejected, written = (a - b for a, b in zip(now, self._taken, strict=True))
        self._taken = now
        return images, size, rejected, written

    def stop(self) -> None:
        """Let every worker stop at its next image."""
        self._stop.value = 1


_shared: _Shared


def _start_worker(shared: _Shared) -> None:
    global _shared  # the pool hands state to its workers in no other way
    _shared = shared
    shared.claim()
    use_one_arena()
    # Ctrl-C reaches the whole group; the parent stops the workers, which then clean up.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_in_time, args=(shared,), daemon=True).start()


def _end_in_time(shared: _Shared) -> None:
    """End this process when nobody would take its result.

    That is when its parent is gone, be it by SIGKILL, and some time after it was told to stop: when
    the fork server is gone, the parent takes its workers for gone, too.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        while not wait_for_sentinels([parent.sentinel], _WATCH_SECONDS):
            if shared.is_stopped:
                wait_for_sentinels([parent.sentinel], _END_SECONDS)
                break
        os._exit(1)


def _run_job(job: ShardJob) -> ShardResult:
    _shared.pause(0)  # another one may be waiting when the run is stopped
    return convert_shard(job, _shared.image_done, _shared.pause)
