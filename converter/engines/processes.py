"""The engine that works in processes of this machine, by default one a core."""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from multiprocessing import connection, forkserver, get_context, resource_tracker

from converter.engines.interrupts import no_interrupts
from converter.engines.protocol import Jobs, Progress
from converter.engines.work_state import POLL_SECONDS, WorkState
from converter.engines.worker import END_SECONDS, without_main, work
from converter.shards.shard import ShardJob, ShardResult
from shardio.errors import WorkerError

# Workers stop by themselves in that time, or else they are killed: they wait for a slow storage, or
# decode an image of many megapixels.
_STOP_SECONDS = 1.0
# What the process that workers are forked from has open, and more for each worker.
_FILES = 24
_WORKER_FILES = 4


class ProcessesEngine:
    """Runs jobs in `workers` processes.

    They are forked from a process of their own, which has imported what they need and nothing
    else of this one: threads, clients and locks that are held are not copied well.
    """

    is_elsewhere = False

    def __init__(self, workers: int) -> None:
        self.workers = workers

    def get_ready(self) -> None:
        """Start the process that workers are forked from: it imports while the table is read.

        Raises WorkerError where the system lacks what so many workers need.
        """
        # Where the caller uses one already it stays as it is, and each worker imports by itself.
        forkserver.set_forkserver_preload(["converter.engines.warm"])
        with _enough_for(self.workers):
            resource_tracker.ensure_running()  # first: it lets interrupts through again
            with no_interrupts(), without_main():
                forkserver.ensure_running()

    def close(self) -> None:
        """Do nothing: the process that workers are forked from ends with this one."""

    def run(self, jobs: Jobs, progress: Progress) -> Generator[ShardResult, None, None]:
        """Run every job and yield its result as soon as it is there.

        Raises the error of the first job that fails, WorkerError where a worker dies.
        """
        count = min(self.workers, len(jobs.names))
        self.get_ready()
        state = WorkState(max(1, count))
        workers: list[_Worker] = []
        seconds = _STOP_SECONDS
        try:
            with _enough_for(count):
                for number in range(count):
                    workers.append(_Worker(state, number))
            upcoming = map(jobs.job, jobs.names)
            # One job is made ahead, so that no worker waits for it, and few lists are held.
            job = next(upcoming, None)
            while job is not None or any(worker.shard for worker in workers):
                idle = next((worker for worker in workers if worker.is_idle), None)
                if job is not None and idle is not None:
                    idle.give(job)
                    job = next(upcoming, None)
                    continue
                ready = connection.wait([worker.pipe for worker in workers], POLL_SECONDS)
                progress.advance(*state.take())
                for worker in workers:
                    if worker.pipe in ready and (result := worker.take()) is not None:
                        yield result
            seconds = END_SECONDS
        except _DiedError as error:
            raise _death(workers) from error
        finally:
            _end(workers, state, seconds)
            progress.advance(*state.take())


class _DiedError(Exception):
    """A worker process is gone."""


class _Worker:
    """A worker process, and the shard that it makes."""

    def __init__(self, state: WorkState, number: int) -> None:
        context = get_context("forkserver")
        self.pipe, other = context.Pipe()
        self.shard = ""
        self.has_started = False
        arguments = other, state, number, dict(os.environ)
        self.process = context.Process(target=work, args=arguments, daemon=True)
        try:
            with no_interrupts(), without_main():
                self.process.start()
        finally:
            other.close()

    @property
    def is_idle(self) -> bool:
        """Whether it waits for a job."""
        return self.has_started and not self.shard

    def give(self, job: ShardJob) -> None:
        """Send it a job."""
        self.shard = str(job.name)
        try:
            self.pipe.send(job)
        except OSError as error:
            raise _DiedError from error

    def take(self) -> ShardResult | None:
        """Return its result, or raise its error; None when it reports that it has started."""
        try:
            answer = self.pipe.recv()
        except (EOFError, OSError) as error:  # also in the midst of its answer
            raise _DiedError from error
        if isinstance(answer, BaseException):
            raise answer
        self.shard, self.has_started = "", True
        result: ShardResult | None = answer
        return result


def _death(workers: list[_Worker]) -> WorkerError:
    """Return the error of a worker that has died."""
    if not any(worker.has_started for worker in workers):
        return WorkerError(
            "the worker processes died (killed, or out of memory) before they had started; if "
            "the memory ran out, or there are too many processes, run it with fewer --workers"
        )
    made = sorted(worker.shard for worker in workers if worker.shard)
    return WorkerError(
        "a worker process died (killed, or out of memory) while these shards were being "
        f"made: {', '.join(made)}. Finished shards are kept: run the "
        "same command again to go on, with fewer --workers if the memory ran out"
    )


def _end(workers: list[_Worker], state: WorkState, seconds: float) -> None:
    """Stop the workers, and kill those that go on after so many seconds."""
    state.stop()
    for worker in workers:
        worker.pipe.close()
    end = time.monotonic() + seconds
    for worker in workers:
        worker.process.join(max(0.0, end - time.monotonic()))
    for worker in workers:
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()


@contextmanager
def _enough_for(workers: int) -> Iterator[None]:
    """Raise WorkerError in the block where the system lacks what so many workers need.

    Open files are counted beforehand: a worker that gets half of its own says nothing of use.
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
    except (OSError, EOFError) as error:
        reason = getattr(error, "strerror", None) or "none could be forked"
        raise WorkerError(
            f"no worker process can be started ({reason}); --workers 1 needs none"
        ) from error
