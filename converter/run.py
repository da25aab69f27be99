"""A whole conversion: read the table, plan, skip what is done, hand out, publish the manifest."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace

from converter.engines import Engine, Progress, engine_for
from converter.engines.protocol import NoProgress
from converter.options import ConvertOptions, RejectLimit
from converter.report.summary import Summary
from converter.report.time_spent import TimeSpent
from converter.report.too_many_rejects import check_rejects
from converter.shards.accounts import accounts_in, accounts_of
from converter.shards.conversion_plan import plan_of
from converter.shards.finished import manifest_of
from converter.shards.first_look import settle, try_out
from converter.shards.image_sample import compare_images, compare_with_done
from converter.shards.jobs import ConversionJobs
from converter.shards.metadata import (
    check_metadata,
    keep_metadata,
    kept_metadata,
    replace_metadata,
)
from converter.shards.output import OutputFolder
from converter.shards.output_name import output_name
from converter.shards.plan import plan_shards
from converter.shards.records_table import write_records_table
from converter.shards.rejected_images import RejectedImages
from converter.shards.repair import reopen
from converter.shards.source_table import check_places, read_source
from converter.shards.swept import swept
from converter.sources.archives import known_archives
from converter.sources.storage_trial import try_roots
from converter.table.cells.label_statistics import label_statistics
from converter.table.dropped_rows import dropped_splits, without_rows
from converter.table.first_rows import first_rows
from shardio.errors import OptionError
from shardio.format.done import DoneRecord, unusable
from shardio.format.inputs import ConversionInputs
from shardio.format.label import CLASS
from shardio.format.layout import MAX_ROW, RecordLayout
from shardio.format.naming import TIMES, ShardName
from shardio.format.plan import ConversionPlan
from shardio.storage.paths import is_local


def convert(
    table: str | Sequence[str],
    out: str,
    options: ConvertOptions | None = None,
    *,
    root: str | None = None,
    engine: str = "processes",
    workers: int | None = None,
    spark: Mapping[str, str] | None = None,
    max_rejects: str = "1%",
    drop: str | None = None,
    overwrite: bool = False,
    repair: bool = False,
    moved: bool = False,
    dry_run: bool = False,
    unique: bool = False,
    metadata: Mapping[str, str] | None = None,
    progress: NoProgress | None = None,
) -> Summary:
    """Convert the images that a table names into a folder of shards.

    `table` is a CSV, TSV, JSON, Parquet or Arrow file with a column `path`, label columns and, if
    wanted, a column `split`, or several files, globs and folders of such; its rows are kept in
    TMPDIR for the time of the run. `out` is a folder or a URL. Images that are a column of a
    Parquet table (see `options`) are copied to the disk of `out`, or to TMPDIR where that is a URL.
    The bytes of the shards depend on the table, the images and `options` alone. An interrupted
    conversion goes on when it is called again, and looks at the images again that were rejected; it
    must find the images below the same `root`, unless they were `moved`. The `engine` spark takes
    properties of Spark, and uses the SparkContext that there may be. `overwrite` starts anew;
    `repair` makes shards of a finished set again that are missing or damaged, or lack an image that
    can be used by now. `max_rejects` is a number of rows or a percentage; `drop` names a list of
    rows to leave out. With `unique` a path that has different labels in different rows is an error.
    `metadata` (name, description, licence, URL, ...) stands in dataset.json only, in place of what
    stands there; None leaves that as it is.

    Raises TableError, OutputError, RejectsError, WorkerError or StorageError; whatever happens,
    `out` holds dataset.json only once every shard is complete.
    """
    from converter.imaging import pillow

    tables = [table] if isinstance(table, str) else list(table)
    check_places(tables, root)
    out = output_name(out)
    options = options or ConvertOptions()
    if repair and overwrite:
        raise OptionError("--overwrite makes everything again, --repair only what is bad")
    if unique and options.image_column is not None:
        raise OptionError("--unique compares paths; the images of --image-column have none")
    limit = RejectLimit.parse(max_rejects)
    check_metadata(metadata or {})
    pillow.check_encoding(options.encoding)
    progress = progress or NoProgress()
    with closing(engine_for(engine, workers, spark)) as runner, known_archives():
        if not dry_run:
            runner.get_ready()
        source = without_rows(read_source(tables, options, root=root, unique=unique), drop)
        if len(source) - 1 > MAX_ROW:
            raise OptionError(f"{source.name} has {len(source)} rows; {MAX_ROW + 1} is the most")
        folder = OutputFolder(out)
        earlier = None if overwrite or dry_run else folder.transform()
        options, look = settle(source, options, earlier, dry_run=dry_run)
        height, width, channels = options.transform.shape
        layout = RecordLayout(height * width * channels, source.heads, source.kinds)
        shards = plan_shards(
            source.split,
            source.splits,
            stride=layout.stride,
            shards=options.shards,
            shard_size=options.shard_size,
            seed=options.seed,
        )
        names = shards.names()
        plan = plan_of(source, options, shards, pillow.versions())
        summary = Summary(out, len(names), rows=len(source), versions=plan.versions)
        summary.transform, summary.dropped = plan.transform, len(source.dropped)
        summary.heads = label_statistics(
            plan.labels, source.labels, source.splits, source.split, source.dropped
        )
        summary.dropped_splits = dropped_splits(source)
        if options.splits is not None:
            shares = [name for name, _ in options.splits.shares]
            summary.empty_splits = [name for name in shares if name not in source.splits]
        summary.table, summary.notes, summary.look = source.found, list(source.notes), look
        summary.only_classes = all(kind == CLASS for kind in source.kinds)
        if dry_run:
            assert look is not None
            try_out(source, options, look)
            summary.dry_run = True
            summary.bytes = (len(source) - len(source.dropped)) * layout.stride
            summary.first_rows = first_rows(source, plan.labels)
            return summary

        jobs = ConversionJobs(out, source, options, shards, names)
        rejected_images = RejectedImages(plan, source)
        inputs = ConversionInputs(None)
        if source.images is None:
            inputs = ConversionInputs.below(source.root, is_url=not is_local(source.root))
        if (
            not overwrite
            and not repair
            and not folder.work.exists
            and _was_complete(folder, plan, jobs, summary, metadata)
        ):
            return summary
        reopened = False
        with folder.locked():
            if overwrite:
                folder.clear()
            elif repair and (manifest := folder.manifest(plan)) is not None:
                summary.sample = compare_images(folder, manifest, jobs)
                repaired = reopen(folder, plan, manifest, shards, inputs, rejected_images)
                summary.indexes_made = len(repaired.indexes)
                if not repaired.reopens:
                    _was_complete(folder, plan, jobs, summary, metadata)
                    folder.work.remove()
                    return summary
                reopened = True
            elif _was_complete(folder, plan, jobs, summary, metadata):
                folder.work.remove()
                return summary
            if look is None:
                try_roots(source)
            folder.begin(plan)
            if metadata is not None:
                keep_metadata(folder, metadata)
            finished = folder.finished(names, indexed=not options.encoding.is_raw)
            folder.keep_inputs(inputs, finished.values(), moved=moved)
            if not reopened:  # else they were looked at a moment ago
                rejects = {str(name): done.rejects for name, done in finished.items()}
                for file in rejected_images.shards_to_make(rejects):
                    folder.unfinish(file)
                    finished = {n: done for n, done in finished.items() if str(n) != file}
                summary.sample = compare_with_done(folder.folder, finished.values(), jobs)
            summary.looked_at = rejected_images.looked_at
            summary.shards_kept = len(finished)
            spent = TimeSpent(engine, runner.workers, finished.values())
            rejected = sum(len(unusable(done.rejects)) for done in finished.values())
            allowed = limit.rows(len(source) - len(source.dropped))
            if rejected <= allowed:
                progress.announce(summary.image_line())
            done_before = sum(done.records for done in finished.values()) + rejected
            progress.begin(len(source) - len(source.dropped), done_before, rejected)
            if rejected <= allowed:
                jobs = replace(jobs, names=[name for name in names if name not in finished])
                with swept(folder, elsewhere=runner.is_elsewhere):
                    _work(jobs, runner, finished, rejected_images, progress, summary, allowed)
            _close(folder, plan, jobs, finished, summary, limit, spent)
        return summary


def _was_complete(
    folder: OutputFolder,
    plan: ConversionPlan,
    jobs: ConversionJobs,
    summary: Summary,
    metadata: Mapping[str, str] | None,
) -> bool:
    manifest = folder.complete(plan)
    if manifest is None:
        return False
    if metadata is not None:
        replace_metadata(folder, manifest, metadata)
    summary.sample = summary.sample or compare_images(folder, manifest, jobs)
    summary.complete_before = True
    summary.splits = accounts_in(plan.splits, manifest)
    summary.records = manifest.rows_written
    summary.rejected = manifest.rows_rejected
    summary.bytes = sum(shard.bytes for shard in manifest.shards)
    return True


def _work(
    jobs: ConversionJobs,
    runner: Engine,
    finished: dict[ShardName, DoneRecord],
    rejected_images: RejectedImages,
    progress: Progress,
    summary: Summary,
    allowed: int,
) -> None:
    """Run the jobs, adding to `finished`, until all are done or too many rows are rejected."""
    start = time.perf_counter()
    rejected = sum(len(unusable(done.rejects)) for done in finished.values())
    with (
        jobs.ready(elsewhere=runner.is_elsewhere) as ready,
        closing(runner.run(ready, progress)) as results,
    ):
        if ready.images is not None:
            summary.times.reading += time.perf_counter() - start
        for result in results:
            finished[result.name] = result.done
            if runner.is_elsewhere:
                rejected_images.check_unseen(result.done)
            summary.shards_made += 1
            summary.images += result.done.records + len(unusable(result.done.rejects))
            summary.times.add(result.times)
            rejected += len(unusable(result.done.rejects))
            if rejected > allowed:
                break
    summary.seconds = time.perf_counter() - start


def _close(
    folder: OutputFolder,
    plan: ConversionPlan,
    jobs: ConversionJobs,
    finished: dict[ShardName, DoneRecord],
    summary: Summary,
    limit: RejectLimit,
    spent: TimeSpent,
) -> None:
    """Account for every row, publish the table of the records and the times, then the manifest."""
    rejects = sorted(
        (reject for done in finished.values() for reject in done.rejects),
        key=lambda reject: reject.row,
    )
    folder.write_rejects(rejects)
    summary.rejected = len(rejects)
    summary.records = sum(done.records for done in finished.values())
    check_rejects(unusable(rejects), summary.records, summary, limit, jobs.table)
    summary.splits = accounts_of(plan.splits, finished)
    summary.bytes = sum(done.bytes for done in finished.values())
    summary.image_totals.add(finished.values())
    names, metadata = jobs.plan.names(), kept_metadata(folder)
    records = write_records_table(folder.folder, jobs.table, plan.labels, jobs.plan, finished)
    if (times := spent.with_run(plan.sha256, summary)) is not None:
        folder.write(TIMES, times.to_json())
    folder.finish(manifest_of(plan, names, finished, metadata, records))
