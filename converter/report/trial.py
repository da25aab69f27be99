"""What shards would gain: some images of a table read the usual way, and converted.

The shards of the trial lie in a temporary folder, and are gone at its end.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converter.engines import Engine, engine_for
from converter.options import ConvertOptions
from converter.shards.conversion_plan import plan_of
from converter.shards.finished import manifest_of
from converter.shards.first_look import settle
from converter.shards.jobs import ConversionJobs
from converter.shards.output import OutputFolder
from converter.shards.plan import ShardPlan
from converter.shards.records_table import write_records_table
from converter.shards.shard import box_of
from converter.shards.source_table import check_places, read_source
from converter.sources.archives import known_archives
from converter.sources.image_files import ImageFiles
from converter.sources.image_finder import ImageFinder
from shardio.errors import RejectsError, ShardioError
from shardio.format.done import DoneRecord
from shardio.format.manifest import Manifest
from shardio.format.naming import ShardName
from shardio.format.plan import PlannedSplit
from shardio.format.transform import Transform
from shardio.measure.apart import Apart
from shardio.measure.measured import Measured, measured
from shardio.measure.memory import Memory
from shardio.measure.others import Others

Box = tuple[int, int, int, int]
# Images of the trial at the most, and seconds of each part of it.
_IMAGES = 4000
_SECONDS = 4.0
# Seconds by which ways to read have begun, and what they have at least. Then come some two passes
# of two seconds each.
_LIMIT, _LEAST_LIMIT = 40, 5
_SPLIT = "trial"
_SHARD_IMAGES = 64
_BATCH = 128


@dataclass(frozen=True)
class Trial:
    """What was measured of `images` images of a table of `rows`.

    `first` is the usual way over files as they lay there, `old` the same once more, with the files
    in the page cache, and `memory` what its process had. `converted` is the conversion of these
    files by all cores; `record_bytes` is the mean size of what it stored. `reading` are the rates
    of the shards, by the way that they are read, as `shardio-read bench` measures them, and
    `left_out` are ways that did not begin in time. `others` is the share of the machine's CPU time
    that other programs took meanwhile.
    """

    rows: int
    images: int
    rejected: int
    first: Measured
    old: Measured
    memory: Memory
    converted: Measured
    record_bytes: float
    transform: str
    reading: list[dict[str, Any]]
    left_out: list[str]
    others: float = 0.0


class _Count:
    """Progress that counts from the first images on: the start of workers is not their rate."""

    def __init__(self) -> None:
        self.images = 0
        self.first = self.last = 0.0

    def announce(self, line: str) -> None: ...

    def begin(self, rows: int, done: int, rejected: int) -> None: ...

    def advance(self, images: int, bytes_read: int, rejected: int, bytes_written: int) -> None:
        self.last = time.perf_counter()
        if not self.first:
            self.first = self.last
        else:
            self.images += images


def try_table(
    tables: Sequence[str],
    options: ConvertOptions,
    told: Callable[[str], object],
    *,
    root: str | None = None,
) -> Trial:
    """Measure; `told` is called with what is measured next. Raises as `convert` does.

    It takes less than a minute besides reading the table, and leaves out ways to read that have not
    begun by then.
    """
    check_places(tables, root)
    # What it starts has ended before others are told apart from it.
    with Others() as others:
        found = _try_table(tables, options, told, root)
    return replace(found, others=others.share)


def _try_table(
    tables: Sequence[str], options: ConvertOptions, told: Callable[[str], object], root: str | None
) -> Trial:
    with ExitStack() as stack:
        runner = stack.enter_context(closing(engine_for("processes")))
        stack.enter_context(known_archives())
        runner.get_ready()
        source = read_source(tables, options, root=root, unique=False)
        options, _ = settle(source, options, None, dry_run=False)
        begun = time.monotonic()
        count = min(len(source), _IMAGES)
        rows = np.arange(count, dtype=np.int64) * len(source) // count
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="shardio-trial-"))
        plan = _plan(rows, options)
        jobs = ConversionJobs(folder, source, options, plan, plan.names())
        ready = stack.enter_context(jobs.ready())
        told("the usual generator")
        part = ready.table.locations(rows) if ready.images is None else ready.images.locations(rows)
        boxes = [box_of(source.boxes, int(row)) for row in rows]
        finder = None if source.has_images else ImageFinder.of(source)
        with Apart(begin_old_way, part, finder, boxes, options.transform) as process:
            first, used = process.run()
            old, _ = process.run(used)
        told("the conversion")
        plan = _plan(rows[:used], options)
        jobs = ConversionJobs(folder, source, options, plan, plan.names(), ready.images)
        converted, manifest = _convert(jobs, runner)
        if not manifest.rows_written:
            raise RejectsError(
                f"{source.name}: none of the {used:,} images of the trial can be used; --dry-run "
                "says why"
            )
        told("the shards")
        limit = max(_LEAST_LIMIT, round(_LIMIT - (time.monotonic() - begun)))
        reading, left_out = _read(folder, manifest.rows_written, limit)
        return Trial(
            rows=len(source),
            images=used,
            rejected=manifest.rows_rejected,
            first=first,
            old=old,
            memory=process.memory,
            converted=converted,
            record_bytes=sum(shard.bytes for shard in manifest.shards) / manifest.rows_written,
            transform=options.transform.line(""),
            reading=reading,
            left_out=left_out,
        )


def _plan(rows: NDArray[np.int64], options: ConvertOptions) -> ShardPlan:
    """Deal the rows of the trial to shards, small ones, so that all workers have some."""
    split = PlannedSplit(_SPLIT, len(rows), -(-len(rows) // _SHARD_IMAGES))
    return ShardPlan((split,), options.seed, {_SPLIT: rows})


Images = Iterator[tuple[Callable[[], bytes], Box | None]]


def begin_old_way(
    locations: list[str],
    finder: ImageFinder | None,
    boxes: list[Box | None],
    transform: Transform,
) -> Callable[..., tuple[Measured, int]]:
    """Return what makes batches the usual way, for some seconds or of the first `count` images.

    It returns what that took, and how many images were asked for.
    """
    from converter.imaging.old_way import old_way

    def run(count: int | None = None) -> tuple[Measured, int]:
        asked = 0

        def images(files: ImageFiles) -> Images:
            nonlocal asked
            for read, box in zip(files, boxes, strict=False):
                asked += 1
                yield read, box

        with ImageFiles(locations[:count], time.sleep, finder) as files:
            seconds = _SECONDS if count is None else float("inf")
            took = measured(old_way(images(files), transform, _BATCH), seconds)
        return took, asked

    return run


def _convert(jobs: ConversionJobs, runner: Engine) -> tuple[Measured, Manifest]:
    """Convert the rows of the trial, as `convert` does."""
    from converter.imaging import pillow

    folder, count = OutputFolder(jobs.folder), _Count()
    plan = plan_of(jobs.table, jobs.options, jobs.plan, pillow.versions())
    finished: dict[ShardName, DoneRecord] = {}
    with folder.locked():
        folder.begin(plan)
        with closing(runner.run(jobs, count)) as results:
            for result in results:
                finished[result.name] = result.done
        records = write_records_table(jobs.folder, jobs.table, plan.labels, jobs.plan, finished)
        manifest = manifest_of(plan, jobs.plan.names(), finished, {}, records)
        folder.finish(manifest)
    return Measured(count.images, max(count.last - count.first, 1e-9), 0.0), manifest


def _read(folder: str, records: int, limit: int) -> tuple[list[dict[str, Any]], list[str]]:
    """Read the shards of the trial, with the other command line: it is a package of its own.

    Returns what it measured, and what has not begun within `limit` seconds.
    """
    size = str(min(_BATCH, records))
    command = [sys.executable, "-m", "reader", "bench", folder, "--json", "--rounds", "1"]
    places = os.pathsep.join(path or os.getcwd() for path in sys.path)
    done = subprocess.run(
        [*command, "--batch-size", size, "--limit", str(limit)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": places},
    )
    if done.returncode:
        raise ShardioError(f"the shards of the trial cannot be read: {done.stderr.strip()}")
    said = json.loads(done.stdout)
    return said["ways"], said["left_out"]
