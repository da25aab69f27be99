"""How a set was made, and where the time of its conversion went."""

from __future__ import annotations

from reader.look.markup import facts, paragraph, table
from reader.shardset import ShardSet
from shardio.errors import ManifestError, MissingFileError, StorageError
from shardio.format.manifest import Manifest
from shardio.format.naming import TIMES
from shardio.format.times import ConversionTimes
from shardio.grammar import counted
from shardio.storage import storage_for
from shardio.storage.paths import folder_of, join

# It has a few hundred; a larger file is something else.
_MOST_BYTES = 1 << 16


def making(shards: ShardSet) -> str:
    """Return the section of a set that has records."""
    manifest = shards.manifest
    if manifest is None:
        return paragraph(
            "There is no dataset.json beside these shards: how they were made is not known."
        )
    rows = (
        f"{manifest.rows_read:,} read = {manifest.rows_written:,} written + "
        f"{manifest.rows_rejected:,} rejected"
    )
    pairs = [
        ("Images", manifest.transform.line()),
        ("Stored as", "pixels" if manifest.encoding == "raw" else manifest.encoding),
        ("Rows of the table", rows),
        ("Seed", manifest.seed),
        ("Decoders", f"Pillow {manifest.versions.pillow}, {manifest.versions.libjpeg}"),
        ("Id", manifest.fingerprint[:16]),
    ]
    times = _times(folder_of(shards.shards[0].path), manifest)
    if isinstance(times, str):
        return facts([*pairs, ("Time", f"not known: {times}")])
    steps = vars(times.work_seconds)
    work = sum(steps.values())
    pairs.append(("Work", f"{_in_words(work)} on {counted(times.images, 'image')}"))
    run = times.last_run
    if run.images and run.seconds:
        by = run.engine if run.workers is None else counted(run.workers, "worker")
        which = "" if run.images == times.images else " by the last run"
        speed = f"{run.images / run.seconds:,.0f} images a second: {run.images:,}{which} in "
        pairs.append(("Speed", f"{speed}{_in_words(run.seconds)} ({by})"))
    shares = [
        (step, _in_words(seconds), f"{seconds / (work or 1.0):.0%}")
        for step, seconds in sorted(steps.items(), key=lambda pair: -pair[1])
        if seconds
    ]
    caption = "Where the conversion's time went (all workers together)"
    return facts(pairs) + (table(caption, ["step", "time", "share"], shares) if shares else "")


def _times(folder: str, manifest: Manifest) -> ConversionTimes | str:
    """Read times.json; returns why nothing is known where that is so."""
    path = join(folder, TIMES)
    try:
        times = ConversionTimes.from_json(storage_for(path).read_file(path, _MOST_BYTES), TIMES)
    except MissingFileError:
        return f"there is no {TIMES} beside the shards"
    except (StorageError, ManifestError) as error:
        return f"{TIMES} cannot be read: {error}"
    if times.plan_sha256 != manifest.plan_sha256:
        return f"{TIMES} is that of another set"
    return times


def _in_words(seconds: float) -> str:
    """Return a time as people say it."""
    if seconds < 99.5:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.0f} min" if seconds < 5970 else f"{seconds / 3600:,.1f} h"
