"""Every byte of a set, and what is wrong with each shard and record of it."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from reader.batching.label_arrays import wrong_label
from reader.commands.stored_order import StoredOrder
from reader.fetch.skipped import SKIPPED, Skipped
from reader.fetch.source import RecordSource
from reader.files.in_threads import Progress, in_threads
from reader.files.shard import ShardFile
from reader.opening.first_record import read_first_record
from reader.opening.sound_parts import SoundParts
from reader.shardset import ShardSet
from shardio.errors import (
    FormatError,
    MissingFileError,
    ShardioError,
    UnsupportedRecordError,
)
from shardio.format.discovery import discover
from shardio.format.encoding import Encoding
from shardio.format.layout import RecordLayout
from shardio.format.manifest import Manifest
from shardio.format.naming import MANIFEST, RECORDS
from shardio.storage import FileInfo
from shardio.storage.paths import folder_of, join, name_of
from shardio.storage.whole_file import digest_of

# Memory for records that are read at once in each thread, and at most so many.
_BATCH_BYTES = 1 << 24
_BATCH = 256
# Shards that are read at once: one waits for its disk while another one's digest is computed.
_THREADS = 4

FaultKind = Literal["damaged", "unusable", "digest", "index", "order", "table", "shard"]


@dataclass(frozen=True)
class Fault:
    """What is wrong with a file or, if `record` has its number there, with one record of it.

    `damaged` and `unusable` speak of records: the bytes of one are not those that were written, or
    they are and cannot be used. The others speak of files: a `shard` that cannot be opened or is
    missing, a `digest` that differs, an `index`, the `order` of rows, or the `table` of records.
    """

    kind: FaultKind
    path: str
    reason: str
    record: int | None = None


@dataclass
class Verification:
    """What was read, and every fault that was found."""

    records: int = 0
    shards: int = 0
    faults: list[Fault] = field(default_factory=list)

    def paths(self, *kinds: FaultKind) -> list[str]:
        """Return the files with faults of some kinds."""
        return sorted({fault.path for fault in self.faults if fault.kind in kinds})


def verify(found: SoundParts, progress: Progress) -> Verification:
    """Read every record of `found`: all CRCs and labels and, with a manifest, each SHA-256.

    `progress` is told the number of records read, from one thread at a time.
    """
    done = Verification(faults=[Fault("shard", *problem) for problem in found.problems])
    manifest = found.manifest
    order = None if manifest is None else StoredOrder(manifest, whole=not found.is_part)
    places = {shard.path: (shards, shard) for shards in found.sets for shard in shards.shards}

    def work(info: FileInfo, progress: Progress) -> list[Fault]:
        shards, shard = places[info.path]
        return _faults_of_shard(shards, shard, order, progress)

    files = [FileInfo(shard.path, shard.size, shard.identity) for _, shard in places.values()]
    for faults in in_threads(work, files, progress, threads=_THREADS):
        done.faults += faults
    done.shards = len(places)
    done.records = sum(shard.records for _, shard in places.values())
    if order is not None:
        problems = order.problems(all_read=not done.paths("damaged", "unusable", "shard"))
        by_name = {name_of(path): path for path in places}
        done.faults += [Fault("order", by_name[name], what) for name, what in problems]
    if manifest is not None:
        done.faults += _faults_of_table(manifest, places)
    return done


def _faults_of_shard(
    shards: ShardSet, shard: ShardFile, order: StoredOrder | None, progress: Progress
) -> list[Fault]:
    """Read a shard; what keeps it from being read at all is its only fault."""
    other = _other_records(shards, shard)
    if other:
        return [Fault("shard", shard.path, other)]
    try:
        faults = _faults_of_records(shards, shard, order, progress)
        if shard.entry is not None:
            digest = digest_of(shard.path)
            if digest != shard.entry.sha256 and not any(f.kind == "damaged" for f in faults):
                reason = (
                    f"{shard.path}: its SHA-256 is {digest}, dataset.json says {shard.entry.sha256}"
                )
                faults.append(Fault("digest", shard.path, reason))
    except ShardioError as error:
        wrong = shards.kind.wrong_index(shard)
        return [Fault("index" if wrong else "shard", shard.path, wrong or str(error))]
    if any(fault.kind == "damaged" for fault in faults):
        wrong = shards.kind.wrong_index(shard)
        if wrong:
            return [Fault("index", shard.path, wrong)]
    try:
        shards.kind.check_index(shard)
    except ShardioError as error:
        faults.append(Fault("index", shard.path, str(error)))
    return faults


def _other_records(shards: ShardSet, shard: ShardFile) -> str:
    """Say what the records of a shard are, if its first one is not as the manifest says."""
    manifest = shards.manifest
    if manifest is None or not (Encoding(manifest.encoding).is_raw and shard.records):
        return ""
    try:
        info = FileInfo(shard.path, shard.size, shard.identity)
        found = discover(read_first_record(info, verify=True))
    except (ShardioError, FormatError):
        return ""  # damage is found with the others'
    if found == manifest.layout:
        return ""
    return (
        f"{shard.path}: its records have {_in_words(found)}; {MANIFEST} says "
        f"{_in_words(manifest.layout)}"
    )


def _in_words(layout: RecordLayout) -> str:
    heads = [
        name if kind.is_class else f"{name} ({kind})"
        for name, kind in zip(layout.labels, layout.kinds, strict=True)
    ]
    return f"the labels {', '.join(heads) or 'none'} and images of {layout.image_bytes:,} bytes"


class _Named(Skipped):
    """Keeps the reason of each damaged record, in the order in which a thread met them."""

    def __init__(self) -> None:
        super().__init__()
        self.reasons: list[str] = []

    def add(self, reason: str) -> None:
        """Keep a reason."""
        self.reasons.append(reason)


def _faults_of_records(
    shards: ShardSet, shard: ShardFile, order: StoredOrder | None, progress: Progress
) -> list[Fault]:
    named = _Named()
    source = replace(shards, shards=(shard,)).source(verify=True, skipped=named)
    try:
        return list(_read_all(shards, shard, source, named, order, progress))
    finally:
        source.close()


def _read_all(
    shards: ShardSet,
    shard: ShardFile,
    source: RecordSource,
    named: _Named,
    order: StoredOrder | None,
    progress: Progress,
) -> Iterable[Fault]:
    most = max(1, min(_BATCH, _BATCH_BYTES // shards.layout.stride, shard.records))
    images = np.empty((most, shards.layout.image_bytes), dtype=shards.kind.image_dtype)

    def read(ids: NDArray[np.int64]) -> Iterable[Fault]:
        named.reasons.clear()
        integers = source.fetch(ids, images)
        damaged = integers[:, -1] == SKIPPED
        for number, reason in zip(ids[damaged].tolist(), named.reasons, strict=True):
            yield Fault("damaged", shard.path, reason, number)
        whole, numbers = integers[~damaged], ids[~damaged]
        if order is not None:
            order.add(shard, whole[:, -1])
        wrong = wrong_label(whole, shards.labels)
        while wrong is not None:
            at, what = wrong
            number = int(numbers[at])
            reason = f"{shard.path}: record {number}: {what}"
            yield Fault("unusable", shard.path, reason, number)
            # wrong_label tells of the first one.
            whole, numbers = whole[at + 1 :], numbers[at + 1 :]
            wrong = wrong_label(whole, shards.labels)

    for start in range(0, shard.records, most):
        ids = np.arange(start, min(start + most, shard.records))
        try:
            yield from list(read(ids))
        except UnsupportedRecordError:
            # It names one; there may be more, and damage.
            for at in range(len(ids)):
                try:
                    yield from list(read(ids[at : at + 1]))
                except UnsupportedRecordError as error:
                    yield Fault("unusable", shard.path, str(error), int(ids[at]))
        progress(len(ids))


def _faults_of_table(manifest: Manifest, paths: Iterable[str]) -> list[Fault]:
    """Compare records.parquet with the SHA-256 in the manifest.

    A set may lie in several folders, of which one has to have it.
    """
    if manifest.records is None:
        return []
    tables = sorted({join(folder_of(path), RECORDS) for path in paths})
    found = {}
    for path in tables:
        with suppress(MissingFileError):
            found[path] = digest_of(path)
    for path, digest in found.items():
        if digest != manifest.records:
            what = f"{path}: its SHA-256 is {digest}, dataset.json says {manifest.records}"
            return [Fault("table", path, what)]
    return [] if found or not tables else [Fault("table", tables[0], f"{tables[0]} is missing")]
