"""A few images of finished shards, compared with their records.

dataset.json does not say where the images were, since its bytes do not depend on that, and images
may change at their place. What can be known is whether those that are there now give the records
that are there.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from converter.shards.jobs import ConversionJobs
from converter.shards.output import OutputFolder
from converter.shards.rejected_images import rejects_of
from converter.shards.shard import write_records
from shardio.errors import OutputError, StorageError
from shardio.format.done import DoneRecord, Reject
from shardio.format.manifest import Manifest, ShardEntry
from shardio.format.naming import ShardName
from shardio.format.times import Times

# The first and the last image of each: what was made from other images differs in most of them.
_SHARDS = 16

# A shard as the manifest or its done-record has it.
Made = ShardEntry | DoneRecord


@dataclass
class ImageSample:
    """How many images were looked at, and how many of them cannot be used any more, and why."""

    looked_at: int = 0
    unusable: int = 0
    example: str = ""

    @property
    def same(self) -> int:
        """The images that give the records of the set."""
        return self.looked_at - self.unusable


def compare_images(folder: OutputFolder, manifest: Manifest, jobs: ConversionJobs) -> ImageSample:
    """Make records of some shards of a finished set again, and compare their CRCs.

    Raises OutputError where one is another one.
    """
    try:
        rejects = rejects_of(folder, manifest, jobs.plan)
    except OutputError:
        return ImageSample()  # so it is not known which row is the first

    def changed(which: str) -> OutputError:
        return OutputError(
            f"{folder.folder} holds a complete dataset of this table and these options, but of "
            f"other images: {which}. Give the --root that it was made with, or --overwrite to make "
            "all of it again from the images that are there now"
        )

    return _compare_some(manifest.shards, rejects, jobs, changed)


def compare_with_done(
    folder: str, finished: Collection[DoneRecord], jobs: ConversionJobs
) -> ImageSample:
    """Do the same with the shards that a run has finished before it was stopped."""

    def changed(which: str) -> OutputError:
        return OutputError(
            f"{folder} holds an unfinished conversion of other images, which have changed since: "
            f"{which}. Put those back that it was begun with to go on, or --overwrite to begin "
            "again with the images that are there now"
        )

    rejects = {done.file: done.rejects for done in finished}
    return _compare_some(list(finished), rejects, jobs, changed)


def _compare_some(
    shards: Sequence[Made],
    rejects: Mapping[str, Sequence[Reject]],
    jobs: ConversionJobs,
    changed: Callable[[str], OutputError],
) -> ImageSample:
    sample = ImageSample()
    if jobs.table.images is not None:
        return sample  # they are of the table, which is the same
    shards = [shard for shard in shards if shard.records]
    count = min(_SHARDS, len(shards))
    for shard in (shards[number * len(shards) // count] for number in range(count)):
        rejected = {reject.row for reject in rejects.get(shard.file, ())}
        try:
            _compare(shard, rejected, jobs, sample, changed)
        except StorageError as error:
            sample.looked_at += 1
            sample.unusable += 1
            sample.example = sample.example or str(error)
            break  # each of the others would wait as long
    return sample


def _compare(
    shard: Made,
    rejected: set[int],
    jobs: ConversionJobs,
    sample: ImageSample,
    changed: Callable[[str], OutputError],
) -> None:
    name = ShardName.parse(shard.file)
    assert name is not None
    rows = jobs.plan.rows_of(name)
    crcs = {}
    for places, crc in (
        (range(len(rows)), shard.first_crc),
        (reversed(range(len(rows))), shard.last_crc),
    ):
        crcs[next(place for place in places if int(rows[place]) not in rejected)] = crc
    for place, crc in crcs.items():
        job = jobs.job(name, slice(place, place + 1))
        done, _ = write_records(job, io.BytesIO(), lambda *_: None, _wait_not, Times())
        sample.looked_at += 1
        where = f"row {int(job.rows[0])}"
        for reject in done.rejects:
            sample.unusable += 1
            sample.example = sample.example or f"{where}, {job.locations[0]}: {reject.reason}"
        if done.records and done.first_crc != crc:
            raise changed(f"{where} of {shard.file} is not what {job.locations[0]} gives now")


def _wait_not(seconds: float) -> None:
    """Try again at once: the answer is worth no waiting."""
