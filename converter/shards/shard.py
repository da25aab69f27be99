"""One shard: read its images, transform them, write the records. The unit that engines run."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import BinaryIO

import crc32c
import numpy as np
from numpy.typing import NDArray

from converter.shards.attempts import publish_done
from converter.sources.image_files import ImageFiles
from converter.sources.image_finder import ImageFinder
from converter.sources.patience import writing
from converter.table.paths.locations import NO_FILE
from converter.table.table import DROPPED
from shardio.errors import MissingFileError, UnusableFileError, WorkerError
from shardio.format.done import LEFT_OUT, DoneRecord, Reject
from shardio.format.encoding import Encoding
from shardio.format.framing import mask_crc
from shardio.format.index import ShardIndex
from shardio.format.label import LabelKind
from shardio.format.layout import RecordLayout
from shardio.format.naming import INDEX_SUFFIX, ShardName
from shardio.format.times import Times
from shardio.format.transform import MAX_PIXELS, Transform
from shardio.imaging.bad_image import BadImageError
from shardio.storage import storage_for
from shardio.storage.paths import join


@dataclass(frozen=True)
class ShardJob:
    """All that is needed to make one shard, anywhere.

    `locations` say where the images are, `paths` how the table names them, and the `finder` looks
    for those that are not there.
    """

    folder: str
    name: ShardName
    transform: Transform
    heads: tuple[str, ...]
    rows: NDArray[np.int64]
    labels: NDArray[np.integer]
    paths: list[str]
    locations: list[str]
    finder: ImageFinder | None = None
    # What is cut out of each image, in place of the transform's box.
    boxes: NDArray[np.int32] | None = None
    kinds: tuple[LabelKind, ...] = ()
    strict_decode: bool = False
    max_pixels: int = MAX_PIXELS
    truncated: bool = False
    encoding: Encoding = field(default_factory=Encoding)
    # Whether another attempt at it may be under way, on another machine.
    contested: bool = False

    @property
    def layout(self) -> RecordLayout:
        """The layout of the records."""
        height, width, channels = self.transform.shape
        return RecordLayout(height * width * channels, self.heads, self.kinds)


@dataclass(frozen=True)
class ShardResult:
    """A finished shard and what it took."""

    done: DoneRecord
    times: Times = field(default_factory=Times)

    @property
    def name(self) -> ShardName:
        """The name of the shard."""
        name = ShardName.parse(self.done.file)
        assert name is not None
        return name


# Called after each image with the bytes read, whether it was rejected, and the bytes written. It
# may raise to stop.
ImageDone = Callable[[int, bool, int], None]


def convert_shard(
    job: ShardJob, image_done: ImageDone, pause: Callable[[float], None] = time.sleep
) -> ShardResult:
    """Make one shard and its done-record, and publish both.

    Images that are missing, broken or too small are rejects. A shard is begun again while the
    storage that it goes to is unavailable, after a `pause` of some seconds, which may raise to
    stop as well. Other storage errors are tried again a few times, then raised.
    """
    counted = 0

    def attempt() -> ShardResult:
        images = 0

        def once(size: int, rejected: bool, written: int) -> None:
            nonlocal images, counted
            images += 1
            if images > counted:
                counted = images
                image_done(size, rejected, written)
            else:
                pause(0)

        return _make_shard(job, once, pause)

    return writing(attempt, pause)


def _make_shard(
    job: ShardJob, image_done: ImageDone, pause: Callable[[float], None]
) -> ShardResult:
    # A name that no other attempt at this shard has: engines may run the same job twice.
    attempt = secrets.token_hex(6)
    times = Times()
    storage = storage_for(job.folder)
    with storage.publish(join(job.folder, str(job.name)), attempt=attempt) as file:
        done, sizes = write_records(job, file, image_done, pause, times)
        # The done-record comes first: a shard without one would have to be made again.
        publish_done(job.folder, done, attempt, contested=job.contested)
        if not job.encoding.is_raw:
            index = ShardIndex.of_offsets(np.cumsum([0, *sizes], dtype=np.int64))
            path = join(job.folder, str(job.name)) + INDEX_SUFFIX
            with storage.publish(path, attempt=attempt) as beside:
                beside.write(index.to_text())
        start = time.perf_counter()
    times.writing += time.perf_counter() - start
    return ShardResult(done, times)


def write_records(
    job: ShardJob,
    file: BinaryIO,
    image_done: ImageDone,
    pause: Callable[[float], None],
    times: Times,
) -> tuple[DoneRecord, list[int]]:
    """Write the records of a job to a file; returns what they are, and their sizes."""
    from converter.imaging.transformer import ImageTransformer  # PIL, only when it is needed

    layout = job.layout
    transformer = ImageTransformer(
        job.transform,
        strict=job.strict_decode,
        max_pixels=job.max_pixels,
        truncated=job.truncated,
    )
    tails = layout.tails(job.labels, job.rows)
    digest = hashlib.sha256()
    head = layout.head
    prefix_crc = crc32c.crc32c(layout.prefix)
    crcs: list[int] = []
    rejects: list[Reject] = []
    sizes: list[int] = []
    raw = job.encoding.is_raw
    kept = [index for index, location in enumerate(job.locations) if location != DROPPED]
    with ImageFiles([job.locations[index] for index in kept], pause, job.finder) as files:
        for index, read in zip(kept, files, strict=True):
            data = b""
            try:
                data = read()
                image = transformer.pixels(data, box_of(job.boxes, index))
            except (MissingFileError, UnusableFileError, BadImageError) as error:
                row, path = int(job.rows[index]), job.paths[index]
                rejects.append(reject_of(error, row, path, job.locations[index]))
                image_done(len(data), True, 0)
                continue
            except MemoryError as error:
                raise WorkerError(
                    f"{job.locations[index]}: not enough memory to decode it"
                ) from error
            start = time.perf_counter()
            if not raw:
                image = transformer.encode(image, job.encoding)
                start = time.perf_counter()
                layout = RecordLayout(len(image), job.heads, job.kinds)
                head, prefix_crc = layout.head, crc32c.crc32c(layout.prefix)
            tail = tails[index].tobytes()
            crcs.append(mask_crc(crc32c.crc32c(tail, crc32c.crc32c(image, prefix_crc))))
            record = b"".join((head, image, tail, crcs[-1].to_bytes(4, "little")))
            sizes.append(len(record))
            digest.update(record)
            file.write(record)
            times.writing += time.perf_counter() - start
            image_done(len(data), False, len(record))
    times.reading += files.seconds
    times.add(transformer.times)
    if len(kept) < len(job.locations):
        rejects = _with_dropped(job, rejects)
    done = DoneRecord(
        file=str(job.name),
        records=len(crcs),
        bytes=sum(sizes),
        sha256=digest.hexdigest(),
        first_crc=crcs[0] if crcs else None,
        last_crc=crcs[-1] if crcs else None,
        rejects=tuple(rejects),
        seconds=times.rounded(),
        **transformer.counts.to_done(),
    )
    return done, sizes


def _with_dropped(job: ShardJob, rejects: list[Reject]) -> list[Reject]:
    """Return the rejects with the rows that are left out, in the order of the rows of the job."""
    of_rows = {reject.row: reject for reject in rejects}
    for row, path, location in zip(job.rows.tolist(), job.paths, job.locations, strict=True):
        if location == DROPPED:
            of_rows[row] = Reject(row, path, LEFT_OUT)
    return [of_rows[row] for row in job.rows.tolist() if row in of_rows]


def box_of(boxes: NDArray[np.int32] | None, row: int) -> tuple[int, int, int, int] | None:
    """Return the box of a row, where the table has boxes."""
    if boxes is None:
        return None
    left, top, right, bottom = boxes[row].tolist()
    return left, top, right, bottom


def reject_of(error: Exception, row: int, path: str, location: str) -> Reject:
    """Return the reject of an image; its reason lacks the path, which stands beside it."""
    reason = str(error).removeprefix(f"{location}: ")
    if isinstance(error, MissingFileError) and not reason.startswith(NO_FILE):
        reason = NO_FILE
    return Reject(row, path, reason)
