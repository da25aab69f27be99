"""The engine that works in this process: for small tables, and to see a plain traceback."""

from __future__ import annotations

import time
from collections.abc import Generator

from converter.engines.protocol import Jobs, Progress
from converter.shards.shard import ShardResult, convert_shard

# Telling the progress of each image would take as long as writing it.
_TELL_SECONDS = 0.1


class InlineEngine:
    """Runs jobs one after the other."""

    is_elsewhere = False
    workers = 1

    def get_ready(self) -> None:
        """Do nothing: there is nothing to start."""

    def close(self) -> None:
        """Do nothing: nothing was started."""

    def run(self, jobs: Jobs, progress: Progress) -> Generator[ShardResult, None, None]:
        """Run every job and yield its result."""
        counts = [0, 0, 0, 0]
        told = time.monotonic()

        def image_done(size: int, rejected: bool, written: int) -> None:
            nonlocal told
            counts[0] += 1
            counts[1] += size
            counts[2] += rejected
            counts[3] += written
            if time.monotonic() - told > _TELL_SECONDS:
                tell()

        def tell() -> None:
            nonlocal told
            progress.advance(*counts)
            counts[:] = [0, 0, 0, 0]
            told = time.monotonic()

        for name in jobs.names:
            result = convert_shard(jobs.job(name), image_done)
            tell()
            yield result
