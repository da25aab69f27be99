"""A few images of a finished set, compared with its records.

dataset.json does not say where the images were, since its bytes do not depend on that. What can be
known is whether the images that are there now give the records that are there.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

from converter.shards.jobs import ConversionJobs
from converter.shards.output import OutputFolder
from converter.shards.rejected_images import rejects_of
from converter.shards.shard import Times, write_records
from shardio.errors import OutputError, StorageError
from shardio.format.manifest import Manifest, ShardEntry
from shardio.format.naming import ShardName

# One shard each: what was made from other images differs in most of them.
_IMAGES = 16


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
    """Make the first record of some shards again and compare its CRC with that in the manifest.

    Raises OutputError where it is another one.
    """
    sample = ImageSample()
    if jobs.table.images is not None:
        return sample  # they are of the table, which is the same
    try:
        rejects = rejects_of(folder, manifest, jobs.plan)
    except OutputError:
        return sample  # so it is not known which row is the first
    entries = [entry for entry in manifest.shards if entry.records]
    count = min(_IMAGES, len(entries))
    for entry in (entries[number * len(entries) // count] for number in range(count)):
        rejected = {reject.row for reject in rejects.get(entry.file, ())}
        try:
            _compare(folder.folder, entry, rejected, jobs, sample)
        except StorageError as error:
            sample.looked_at += 1
            sample.unusable += 1
            sample.example = sample.example or str(error)
            break  # each of the others would wait as long
    return sample


def _compare(
    folder: str, entry: ShardEntry, rejected: set[int], jobs: ConversionJobs, sample: ImageSample
) -> None:
    name = ShardName.parse(entry.file)
    assert name is not None
    place = next(p for p, row in enumerate(jobs.plan.rows_of(name)) if int(row) not in rejected)
    job = jobs.job(name, slice(place, place + 1))
    done, _ = write_records(job, io.BytesIO(), lambda *_: None, _wait_not, Times())
    sample.looked_at += 1
    for reject in done.rejects:
        sample.unusable += 1
        sample.example = sample.example or f"row {reject.row}, {job.locations[0]}: {reject.reason}"
    if done.records and done.first_crc != entry.first_crc:
        raise OutputError(
            f"{folder} holds a complete dataset of this table and these options, but of other "
            f"images: row {int(job.rows[0])} of {entry.file} is not what {job.locations[0]} gives "
            "now. Give the --root that it was made with, or --overwrite to make all of it again "
            "from the images that are there now"
        )


def _wait_not(seconds: float) -> None:
    """Try again at once: the answer is worth no waiting."""
