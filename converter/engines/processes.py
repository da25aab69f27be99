"""The engine that works in processes of this machine, by default one a core."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import wait as wait_for_sentinels
from multiprocessing.context import ForkServerContext, ForkServerProcess
from typing import Any

from converter.engines.protocol import Jobs, Progress
from converter.engines.work_state import POLL_SECONDS, WorkState
from converter.one_arena import use_one_arena
from converter.shard import ShardJob, ShardResult, convert_shard
from shardio.errors import WorkerError

# Workers stop by themselves in that time, or else they are killed: they wait for a slow storage, or
# decode an image of many megapixels.
_STOP_SECONDS = 1.0
# At the end of a run that went well nothing is lost by waiting.
_END_SECONDS = 10.0
_WATCH_SECONDS = 0.5


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
        state = WorkState(self._context, workers)
        self._context.started.clear()
        seconds = _STOP_SECONDS
        pool = ProcessPoolExecutor(
            workers,
            mp_context=self._context,
            initializer=_start_worker,
            initargs=(state, dict(os.environ)),
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
                ready, _ = wait(running, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
                progress.advance(*state.take())
                for future in ready:
                    result = future.result()
                    del running[future]
                    yield result
        except BrokenProcessPool as error:
            # First: an exit code that the pool and we ask for at once is lost.
            self._end(pool, state, seconds)
            if not state.was_claimed:
                raise WorkerError(self._context.why_none_started()) from error
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
        state.stop()
        killer = threading.Timer(seconds, self._context.kill)
        killer.start()
        pool.shutdown(wait=True, cancel_futures=True)
        killer.cancel()


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


_state: WorkState


def _start_worker(state: WorkState, environment: dict[str, str]) -> None:
    global _state  # the pool hands state to its workers in no other way
    # That of the fork server is of an earlier moment: of an earlier conversion, maybe.
    for name in os.environ.keys() - environment.keys():
        del os.environ[name]
    os.environ.update(environment)
    _state = state
    state.claim()
    use_one_arena()
    # Ctrl-C reaches the whole group; the parent stops the workers, which then clean up.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_in_time, args=(state,), daemon=True).start()


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


def _run_job(job: ShardJob) -> ShardResult:
    _state.pause(0)  # another one may be waiting when the run is stopped
    return convert_shard(job, _state.image_done, _state.pause)
