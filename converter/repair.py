"""Opening a finished set again: for shards that are damaged, and for rejects that were mended."""

from __future__ import annotations

import csv
import hashlib
import io
from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from converter.image_files import read_image
from converter.output import OutputFolder
from converter.plan import ShardPlan
from converter.table import Table
from shardio.errors import MissingFileError, OutputError, UnusableFileError
from shardio.format.done import DoneRecord, Reject
from shardio.format.encoding import RAW
from shardio.format.framing import FRAMING_BYTES
from shardio.format.index import ShardIndex
from shardio.format.manifest import Manifest, ShardEntry
from shardio.format.naming import INDEX_SUFFIX, REJECTS, ShardName
from shardio.format.plan import ConversionPlan
from shardio.storage import storage_for
from shardio.storage.chooser import join

_READ_BYTES = 1 << 22
_LENGTH_BYTES = 8


@dataclass
class Repair:
    """The shards that are to be made again, and the indexes that were."""

    shards: list[str] = field(default_factory=list)
    indexes: list[str] = field(default_factory=list)


def reopen(
    folder: OutputFolder,
    plan: ConversionPlan,
    manifest: Manifest,
    shards: ShardPlan,
    table: Table,
) -> Repair:
    """Turn a finished set into an unfinished one that lacks the shards to be made again.

    These are the ones that are missing, whose SHA-256 is not that of `manifest`, or that lack an
    image which can be used by now. With none the set stays finished. Indexes of whole shards are
    made from the shards, which need no image for that. A run that is killed after this goes on
    like any other.
    """
    rejects = _rejects(folder, manifest)
    by_shard: dict[str, list[Reject]] = defaultdict(list)
    if rejects:
        for name in shards.names():
            for row in {*shards.rows_of(name).tolist()} & rejects.keys():
                by_shard[str(name)].append(rejects[row])
    repair = Repair()
    for entry in manifest.shards:
        index = _index_if_whole(folder.folder, entry)
        if index is None or any(_is_mended(r, plan, table) for r in by_shard[entry.file]):
            repair.shards.append(entry.file)
        elif plan.encoding != RAW and folder.read(entry.file + INDEX_SUFFIX) != index.to_text():
            folder.write(entry.file + INDEX_SUFFIX, index.to_text())
            repair.indexes.append(entry.file + INDEX_SUFFIX)
    if not repair.shards:
        return repair
    done = [
        DoneRecord(
            file=entry.file,
            records=entry.records,
            bytes=entry.bytes,
            sha256=entry.sha256,
            first_crc=entry.first_crc,
            last_crc=entry.last_crc,
            rejects=tuple(_in_order(by_shard[entry.file], entry.file, shards)),
        )
        for entry in manifest.shards
        if entry.file not in repair.shards
    ]
    folder.reopen(plan, done, repair.shards)
    return repair


def _in_order(rejects: list[Reject], file: str, shards: ShardPlan) -> list[Reject]:
    """Sort the rejects of a shard as its conversion does: in the order of its rows."""
    if not rejects:
        return []
    name = ShardName.parse(file)
    assert name is not None
    place = {row: at for at, row in enumerate(shards.rows_of(name).tolist())}
    return sorted(rejects, key=lambda reject: place[reject.row])


def _rejects(folder: OutputFolder, manifest: Manifest) -> dict[int, Reject]:
    text = (folder.read(REJECTS) or b"").decode()
    rows = list(csv.reader(io.StringIO(text, newline="")))[1:]
    try:
        rejects = {int(row): Reject(int(row), path, reason) for row, path, reason in rows}
    except ValueError:
        rejects = {}
    if len(rejects) != manifest.rows_rejected:
        raise OutputError(
            f"{folder.folder}/{REJECTS} does not list the {manifest.rows_rejected} rows that "
            "dataset.json counts; --overwrite makes the set again"
        )
    return rejects


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


def _is_mended(reject: Reject, plan: ConversionPlan, table: Table) -> bool:
    """Whether an image that was rejected can be used now."""
    from converter.imaging import BadImageError, ImageTransformer

    if table.images is not None:
        return False  # they are of the table, which is the same
    try:
        data = read_image(table.location(reject.path))
        ImageTransformer(plan.transform, strict=plan.strict_decode).pixels(data)
    except (MissingFileError, UnusableFileError, BadImageError):
        return False
    return True
