"""The engine that works on a Spark cluster: each shard is a task."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import suppress
from typing import Any

from converter.engines.protocol import Jobs, Progress
from converter.engines.spark.failure import error_of
from converter.engines.spark.session import SparkSession
from converter.engines.spark.task import TaskRun
from converter.shards.shard import ShardResult
from shardio.format.done import unusable

_POLL_SECONDS = 0.1
# Spark kills the Python of a task two seconds after it was cancelled.
_STOP_SECONDS = 10.0
# Without an executor for so long, a run says that it waits.
_WAIT_SECONDS = 30.0
_log = logging.getLogger("shardio.converter")


class SparkEngine:
    """Runs jobs as tasks of Spark, which tries those again that fail."""

    is_elsewhere = True
    workers = None

    def __init__(self, properties: Mapping[str, str]) -> None:
        self._session = SparkSession(properties)

    def get_ready(self) -> None:
        """Begin to start Spark's context."""
        self._session.start()

    def close(self) -> None:
        """End Spark's context, unless it is the caller's."""
        self._session.stop()

    def run(self, jobs: Jobs, progress: Progress) -> Generator[ShardResult, None, None]:
        """Run every job and yield its result as soon as it is there.

        Raises what made a job fail as often as Spark tries it, and WorkerError where Spark itself
        fails.
        """
        from converter.imaging import pillow

        if not jobs.names:
            return
        with jobs.published() as published:
            run = TaskRun(secrets.token_hex(6), published.common, pillow.versions())
            job = _Job(self._session.context(), run, list(published.pieces.items()))
            try:
                yield from job.results(progress)
            finally:
                job.stop()


class _Job:
    """A job of Spark, run by a thread of its own."""

    def __init__(self, context: Any, run: TaskRun, tasks: list[Any]) -> None:
        from converter.engines.spark.made_shards import MadeShards

        self._context = context
        self._group = f"shardio-{run.run}"
        self._shards = [str(name) for name, _ in tasks]
        self._made = context.accumulator([], MadeShards())
        self._error: Exception | None = None
        self._work = context.parallelize(tasks, len(tasks))
        self._task = _task_of(run, self._made)
        self._thread = threading.Thread(target=self._run, name="shardio-spark", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._context.setJobGroup(self._group, "shardio: shards", interruptOnCancel=True)
            self._work.foreach(self._task)
        except Exception as error:
            self._error = error

    def results(self, progress: Progress) -> Generator[ShardResult, None, None]:
        """Yield what tasks have made."""
        taken, waiting = 0, _Waiting(self._context)
        while True:
            is_over = not self._thread.is_alive()
            for made in self._made.value[taken:]:
                taken += 1
                done = made.result.done
                rejected = len(unusable(done.rejects))
                images = done.records + rejected
                progress.advance(images, made.bytes_read, rejected, done.bytes)
                yield made.result
            if is_over:
                break
            waiting.look(taken)
            self._thread.join(_POLL_SECONDS)
        if self._error is not None:
            raise error_of(str(self._error), self._shards, self._context.master) from None

    def stop(self) -> None:
        """Cancel what still runs, and wait until no attempt does."""
        with suppress(Exception):  # the context may be gone
            if self._thread.is_alive():
                self._context.cancelJobGroup(self._group)
            end = time.monotonic() + _STOP_SECONDS
            while time.monotonic() < end and _running(self._context):
                time.sleep(_POLL_SECONDS)
        self._thread.join(_STOP_SECONDS)


class _Waiting:
    """Says once that Spark has no executor for the tasks."""

    def __init__(self, context: Any) -> None:
        self._context = context
        self._next = time.monotonic() + _WAIT_SECONDS

    def look(self, taken: int) -> None:
        """Look whether tasks run, now and then, until some do."""
        if taken:
            self._next = float("inf")
        if time.monotonic() < self._next:
            return
        self._next = float("inf")
        if not _running(self._context):
            _log.warning(
                "Spark at %s has started no task yet: are there executors, and are they free?",
                self._context.master,
            )


def _task_of(run: TaskRun, made: Any) -> Callable[[Any], None]:
    """Return what an executor calls with a shard's name and the pieces of its rows."""

    def task(shard: Any) -> None:
        made.add([run.make(*shard)])

    return task


def _running(context: Any) -> int:
    """Return how many attempts at tasks run."""
    infos = context._jsc.sc().statusTracker().getExecutorInfos()
    return sum(info.numRunningTasks() for info in infos)
