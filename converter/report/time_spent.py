"""What a set has taken, over all runs that made its shards."""

from __future__ import annotations

from collections.abc import Collection

from converter.report.summary import Summary
from shardio.format.done import DoneRecord
from shardio.format.times import ConversionTimes, LastRun, Times


class TimeSpent:
    """The work on the shards that were finished before a run, and on those that it makes.

    Of shards of a set that --repair has opened again nothing is known: then times.json stays as the
    conversion has written it.
    """

    def __init__(self, engine: str, workers: int | None, kept: Collection[DoneRecord]) -> None:
        self._engine, self._workers = engine, workers
        known = [done.seconds for done in kept if done.seconds is not None]
        self._is_known = len(known) == len(kept)
        self._work = Times()
        for times in known:
            self._work.add(times)

    def with_run(self, plan_sha256: str, summary: Summary) -> ConversionTimes | None:
        """Return the times of a conversion that is about to end; None where they are not known."""
        if not self._is_known:
            return None
        self._work.add(summary.times)
        workers = None if self._workers is None else min(self._workers, summary.shards_made)
        images = summary.records + summary.rejected - summary.dropped
        run = LastRun(self._engine, workers, summary.images, round(summary.seconds, 3))
        return ConversionTimes(plan_sha256, images, self._work.rounded(), run)
