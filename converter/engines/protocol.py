"""The Engine protocol."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from converter.shards.published_rows import PublishedJobs
from converter.shards.shard import ShardJob, ShardResult
from shardio.format.naming import ShardName


class Jobs(Protocol):
    """The jobs of a conversion, each made when it is asked for: a job holds all its paths."""

    @property
    def names(self) -> Sequence[ShardName]:
        """The shards to make."""

    def job(self, name: ShardName) -> ShardJob:
        """Make the job of a shard."""

    def published(self) -> AbstractContextManager[PublishedJobs]:
        """Publish the rows of all jobs in the output folder while the block runs."""


class Progress(Protocol):
    """Counts the work that is done."""

    def advance(self, images: int, bytes_read: int, rejected: int, bytes_written: int) -> None:
        """Count images that are done since the last call, rejected ones among them."""


class Engine(Protocol):
    """Runs jobs."""

    @property
    def is_elsewhere(self) -> bool:
        """Whether it works on other machines, which see what is on shared storage only."""

    @property
    def workers(self) -> int | None:
        """How many jobs it runs at once at most; None where others say it."""

    def get_ready(self) -> None:
        """Start what takes time before the first job; never waits."""

    def close(self) -> None:
        """End what `get_ready` started; a second call does nothing."""

    def run(self, jobs: Jobs, progress: Progress) -> Generator[ShardResult, None, None]:
        """Run every job and yield its result as soon as it is there, in any order.

        The first job that fails ends the run with its error; closing the iterator stops it. In
        both cases no worker is left over, and no temporary file of a worker that could clean up.
        """


class NoProgress:
    """Progress that is not shown."""

    def announce(self, line: str) -> None:
        """Say what is about to be done to the images."""

    def begin(self, rows: int, done: int, rejected: int) -> None:
        """Set the number of rows, and of those that an earlier run has done."""

    def advance(self, images: int, bytes_read: int, rejected: int, bytes_written: int) -> None:
        """Count images that are done."""
