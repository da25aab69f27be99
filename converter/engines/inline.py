"""The engine that works in this process: for small tables, and to see a plain traceback."""

from __future__ import annotations

from collections.abc import Generator

from converter.engines.protocol import Jobs, Progress
from converter.shard import ShardResult, convert_shard


class InlineEngine:
    """Runs jobs one after the other."""

    def run(self, jobs: Jobs, progress: Progress) -> Generator[ShardResult, None, None]:
        """Run every job and yield its result."""

        def image_done(size: int, rejected: bool) -> None:
            progress.advance(1, size, int(rejected))

        for name in jobs.names:
            yield convert_shard(jobs.job(name), image_done)
