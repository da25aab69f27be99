"""Opening a finished set again: for shards that are damaged, and for rejects that were mended."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np

from converter.shards.metadata import keep_metadata
from converter.shards.output import OutputFolder
from converter.shards.plan import ShardPlan
from converter.shards.rejected_images import RejectedImages, rejects_of
from shardio.errors import MissingFileError, UnusableFileError
from shardio.format.done import DoneRecord
from shardio.format.encoding import RAW
from shardio.format.framing import FRAMING_BYTES
from shardio.format.index import ShardIndex
from shardio.format.inputs import ConversionInputs
from shardio.format.manifest import Manifest, ShardEntry
from shardio.format.naming import INDEX_SUFFIX, RECORDS
from shardio.format.plan import ConversionPlan
from shardio.storage import storage_for
from shardio.storage.paths import join
from shardio.storage.whole_file import digest_of

_READ_BYTES = 1 << 22
_LENGTH_BYTES = 8


@dataclass
class Repair:
    """What is to be made again, shards and records.parquet, and the indexes that were."""

    shards: list[str] = field(default_factory=list)
    indexes: list[str] = field(default_factory=list)
    records: bool = False

    @property
    def reopens(self) -> bool:
        """Whether the set is not finished any more."""
        return self.records or bool(self.shards)


def reopen(
    folder: OutputFolder,
    plan: ConversionPlan,
    manifest: Manifest,
    shards: ShardPlan,
    inputs: ConversionInputs,
    images: RejectedImages,
) -> Repair:
    """Turn a finished set into an unfinished one that lacks the shards to be made again.

    These are the ones that are missing, whose SHA-256 is not that of `manifest`, or that lack an
    image which can be used by now. With none, and records.parquet whole, the set stays finished.
    Indexes of whole shards are made from the shards, which need no image for that. A run that is
    killed after this goes on like any other.
    """
    rejects = rejects_of(folder, manifest, shards)
    mended = images.shards_to_make(rejects)
    repair = Repair(records=_digest_of(folder.folder, RECORDS) != manifest.records)
    for entry in manifest.shards:
        index = _index_if_whole(folder.folder, entry)
        if index is None or entry.file in mended:
            repair.shards.append(entry.file)
        elif plan.encoding != RAW and folder.read(entry.file + INDEX_SUFFIX) != index.to_text():
            folder.write(entry.file + INDEX_SUFFIX, index.to_text())
            repair.indexes.append(entry.file + INDEX_SUFFIX)
    if not repair.reopens:
        return repair
    done = [
        DoneRecord(
            file=entry.file,
            records=entry.records,
            bytes=entry.bytes,
            sha256=entry.sha256,
            first_crc=entry.first_crc,
            last_crc=entry.last_crc,
            rejects=tuple(rejects.get(entry.file, ())),
        )
        for entry in manifest.shards
        if entry.file not in repair.shards
    ]
    if manifest.metadata:
        keep_metadata(folder, manifest.metadata)
    folder.reopen(plan, inputs, done, repair.shards)
    return repair


def _digest_of(folder: str, name: str) -> str:
    """Return the SHA-256 of a file, nothing where it is not there."""
    try:
        return digest_of(join(folder, name))
    except (MissingFileError, UnusableFileError):
        return ""


def _index_if_whole(folder: str, entry: ShardEntry) -> ShardIndex | None:
    """Return where the records of a shard begin; None where its bytes are not those it had."""
    path = join(folder, entry.file)
    digest = hashlib.sha256()
    offsets = [0]
    data, start = b"", 0
    try:
        with storage_for(path).open_stream(path) as stream:
            while block := stream.read(_READ_BYTES):
                digest.update(block)
                data += block
                # The length of a record stands before it.
                while offsets[-1] + _LENGTH_BYTES <= start + len(data):
                    at = offsets[-1] - start
                    length = int.from_bytes(data[at : at + _LENGTH_BYTES], "little")
                    offsets.append(offsets[-1] + FRAMING_BYTES + length)
                done = min(offsets[-1] - start, len(data))
                data, start = data[done:], start + done
    except (MissingFileError, UnusableFileError):
        return None
    if digest.hexdigest() != entry.sha256:
        return None
    return ShardIndex.of_offsets(np.array(offsets, dtype=np.int64))
