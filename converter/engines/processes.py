"""The engine that works in processes of this machine, by default one a core."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import wait as wait_for_sentinels

from converter.engines.interrupts import no_interrupts
from converter.engines.protocol import Jobs, Progress
from converter.engines.work_state import POLL_SECONDS, WorkState
from converter.engines.workers import (
    OwnForks,
    ServerForks,
    end,
    forking,
    kill,
    may_fork,
    why_none_started,
)
from converter.shards.shard import ShardJob, ShardResult, convert_shard
from shardio.errors import WorkerError
from shardio.heap import use_one_heap

# Workers stop by themselves in that time, or else they are killed: they wait for a slow storage, or
# decode an image of many megapixels.
_STOP_SECONDS = 1.0
# At the end of a run that went well nothing is lost by waiting.
_END_SECONDS = 10.0
_WATCH_SECONDS = 0.5
# What a pool and the process that its workers are forked from have open, and more for each worker.
_FILES = 24
_WORKER_FILES = 3


class ProcessesEngine:
    """Runs jobs in `workers` processes.

    They are forked from this one where that is safe, before it has opened anything: threads and
    clients are not copied well, and locks that are held at that moment stay locked in the child.
    Else they are forked from a process of their own, which takes a while to start.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._context: OwnForks | ServerForks = ServerForks()
        # Workers that were forked already.
        self._pool: tuple[ProcessPoolExecutor, WorkState] | None = None

    def get_ready(self) -> None:
        """Start the workers, or else the process that they are forked from.

        That one imports while the table is read.
        """
        with no_interrupts():  # an exception in the copy would run on there
            alone = may_fork()
        if alone:
            self._fork()
        else:
            self._start_server()

    def close(self) -> None:
        """Let workers end that have got no work."""
        if self._pool is not None:
            pool, state = self._pool
            self._end(pool, state, _STOP_SECONDS)

    def _fork(self) -> None:
        self._context = OwnForks()
        try:
            pool, state = self._pool = self._make_pool(self._workers)
        except WorkerError:  # told when there is work
            return
        try:
            with no_interrupts(), forking():
                pool.submit(_do_nothing)
        # No memory, or too many processes or threads: told when there is work.
        except (OSError, RuntimeError):
            self._end(pool, state, _STOP_SECONDS)
            end(self._context)

    def _start_server(self) -> None:
        self._context = ServerForks()
        # Where the caller uses one already it stays as it is, and each worker imports by itself.
        self._context.set_forkserver_preload(["converter.engines.warm"])
        with _room_for(self._workers):
            resource_tracker.ensure_running()  # first: it lets interrupts through again
            with no_interrupts():
                forkserver.ensure_running()

    def _make_pool(self, workers: int) -> tuple[ProcessPoolExecutor, WorkState]:
        with _room_for(workers):
            state = WorkState(workers)
            pool = ProcessPoolExecutor(
                workers,
                mp_context=self._context,
                initializer=_start_worker,
                initargs=(state, dict(os.environ)),
            )
        return pool, state

    def run(self, jobs: Jobs, progress: Progress) -> Generator[ShardResult, None, None]:
        """Run every job and yield its result as soon as it is there."""
        if self._pool is None:
            self._start_server()
            self._pool = self._make_pool(max(1, min(self._workers, len(jobs.names))))
        pool, state = self._pool
        seconds = _STOP_SECONDS
        waiting = iter(jobs.names)
        running: dict[Future[ShardResult], str] = {}
        try:
            while True:
                # One job more than there are workers: none waits, and few job lists are held.
                for name in islice(waiting, self._workers + 1 - len(running)):
                    job = jobs.job(name)
                    running[_submit(pool, job)] = str(name)
                if not running:
                    seconds = _END_SECONDS
                    return
                ready, _ = wait(running, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
                progress.advance(*state.take())
                for future in ready:
                    result = future.result()
                    del running[future]
                    yield result
        except BrokenProcessPool as error:
            # First: an exit code that the pool and we ask for at once is lost.
            self._end(pool, state, seconds)
            if not state.was_claimed or not running:
                raise WorkerError(why_none_started(self._context)) from error
            raise WorkerError(
                "a worker process died (killed, or out of memory) while these shards were being "
                f"made: {', '.join(sorted(running.values()))}. Finished shards are kept: run the "
                "same command again to go on, with fewer --workers if the memory ran out"
            ) from error
        finally:
            self._end(pool, state, seconds)
            progress.advance(*state.take())

    def _end(self, pool: ProcessPoolExecutor, state: WorkState, seconds: float) -> None:
        """Let the workers stop, and kill those that have not after so many seconds."""
        self._pool = None
        state.stop()
        killer = threading.Timer(seconds, kill, [self._context])
        try:
            killer.start()
            pool.shutdown(wait=True, cancel_futures=True)
        except RuntimeError:  # no thread can be started, or the pool's could not be
            end(self._context)
        killer.cancel()


@contextmanager
def _room_for(workers: int) -> Iterator[None]:
    """Say in a WorkerError that the system lacks what so many workers need.

    Open files are counted beforehand: a pool that gets half of its pipes, and a worker that gets
    half of its own, say nothing of use.
    """
    descriptors: list[int] = []
    try:
        try:
            for _ in range(_FILES + _WORKER_FILES * workers):
                descriptors.append(os.eventfd(0))
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        yield
    except OSError as error:
        raise WorkerError(
            f"no worker process can be started ({error.strerror}); --workers 1 needs none"
        ) from error


def _submit(pool: ProcessPoolExecutor, job: ShardJob) -> Future[ShardResult]:
    try:
        with no_interrupts(), _no_false_main():
            return pool.submit(_run_job, job)
    except BrokenProcessPool:
        raise
    # The pool is closing its pipes, since a worker has died just now; or no thread can be started.
    except (OSError, RuntimeError) as error:
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


_state: WorkState


def _start_worker(state: WorkState, environment: dict[str, str]) -> None:
    global _state  # the pool hands state to its workers in no other way
    # That of the fork server is of an earlier moment: of an earlier conversion, maybe.
    for name in os.environ.keys() - environment.keys():
        del os.environ[name]
    os.environ.update(environment)
    _state = state
    use_one_heap()
    # Ctrl-C reaches the whole group; the parent stops the workers, which then clean up.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # not what a forked process has of its parent
    threading.Thread(target=_end_in_time, args=(state,), daemon=True).start()
    state.claim()  # last: now it can work


def _end_in_time(state: WorkState) -> None:
    """End this process when nobody would take its result.

    That is when its parent is gone, be it by SIGKILL, and some time after it was told to stop: when
    the fork server is gone, the parent takes its workers for gone, too.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        while not wait_for_sentinels([parent.sentinel], _WATCH_SECONDS):
            if state.is_stopped:
                wait_for_sentinels([parent.sentinel], _END_SECONDS)
                break
        os._exit(1)


def _do_nothing() -> None:
    """Be the first work of workers, which are forked when there is some."""


def _run_job(job: ShardJob) -> ShardResult:
    _state.pause(0)  # another one may be waiting when the run is stopped
    return convert_shard(job, _state.image_done, _state.pause)
