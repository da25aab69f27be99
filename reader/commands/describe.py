"""What a set of shards is, and whether it is whole."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from reader.batching.batches import PIPELINE
from reader.batching.label_arrays import wrong_label
from reader.batching.memory import Sizes
from reader.batching.options import BatchOptions
from reader.files.shard import ShardFile
from reader.opening.absent_shards import describe_absent
from reader.order.shuffle_quality import window_quality
from reader.shardset import ShardSet
from shardio.errors import MissingFileError, ShardioError, UnsupportedRecordError
from shardio.format.naming import RECORDS
from shardio.format.transform import COLOURS
from shardio.grammar import counted
from shardio.storage.digest import digest_of
from shardio.storage.paths import folder_of, join

# Memory for records that are read at once, and at most so many.
_BATCH_BYTES = 1 << 25
_BATCH = 256


@dataclass(frozen=True)
class ShardFault:
    """A shard that cannot be used, and why: it is `damaged`, or whole."""

    path: str
    reason: str
    damaged: bool = True


def info(shards: ShardSet, memory: int | str | None = None) -> list[str]:
    """Describe a set of shards in lines for people.

    The memory and the quality of the window order are those of the options' defaults, within
    `memory` if it is given.
    """
    height, width, channels = shards.shape
    size = len(shards) * shards.kind.record_bytes
    how_large, *features = shards.kind.in_words()
    total = len(shards.shards) + len(shards.left_out)
    lines = [
        f"records   {len(shards):,} in {counted(len(shards.shards), 'shard')}, "
        f"{size / 1e6:,.1f} MB",
        f"images    {width}x{height} {COLOURS[channels]}, uint8; {how_large}",
        *(f"features  {line}" for line in features),
    ]
    for label in shards.labels:
        lines.append(f"label     {label.name}: {label}")
    if not shards.labels:
        lines.append("label     none")
    if len(shards.splits) > 1:
        counts = (f"{split} {count:,}" for split, count in shards.splits.items())
        lines.append(f"splits    {', '.join(counts)}")
    if shards.left_out:
        lines.append(
            f"partial   {len(shards.shards)} of {counted(total, 'shard')} taken; left out: "
            f"{', '.join(shards.left_out[:5])}{', ...' if len(shards.left_out) > 5 else ''}"
        )
    paths = [shard.path for shard in shards.shards]
    lines += [f"{word:<10}{what}" for word, what in describe_absent(shards.manifest, paths)]
    lines += _streams(shards, memory)
    manifest = shards.manifest
    if manifest is None:
        return [*lines, "manifest  none: sizes and digests cannot be compared"]
    kind = "" if manifest.encoding == "raw" else f"{manifest.encoding}, "
    return [
        *lines,
        f"made by   {kind}{manifest.transform.line()}, Pillow {manifest.versions.pillow}, "
        f"{manifest.versions.libjpeg}",
        f"dataset   {counted(manifest.rows_read, 'row')} = {manifest.rows_written:,} written + "
        f"{manifest.rows_rejected:,} rejected, seed {manifest.seed}",
        f"id        {manifest.fingerprint[:16]}",
    ]


def _streams(shards: ShardSet, memory: int | str | None) -> list[str]:
    """Say what streams of batches own, and how well the window order shuffles."""
    lines = []
    source = shards.source(verify=True)
    if not shards.is_local:
        lines.append(
            "order     window, unless you choose: with exact each record is a request of its own, "
            "some 1 to 10 ms"
        )
    for shuffle in ("exact", "window"):
        options = BatchOptions(shuffle=shuffle, memory=memory, worker=(0, 1))
        plan = Sizes.of(shards, source, PIPELINE).plan(options)
        lines.append(
            f"memory    {shuffle}, batches of {options.batch_size} {options.dtype}: {plan}"
        )
    quality = window_quality(len(shards), options.batch_size, plan.block, plan.window, 1)
    lines.append(
        f"window    {counted(plan.window, 'block')} of {counted(plan.block, 'record')}: a batch "
        "mixes "
        f"{quality.mixed:.1f} blocks, an exact shuffle {quality.exact:.1f}; "
        f"shuffle quality {quality.ratio:.2f}"
    )
    return lines


def verify(shards: ShardSet, progress: Callable[[int], object]) -> list[ShardFault]:
    """Read every byte: compare all CRCs and, with a manifest, the SHA-256 of every shard.

    `progress` is told the number of records read. Returns the shards that cannot be used, with the
    first fault of each: damage, or else a record that is whole and cannot be used.
    """
    faults = []
    for shard in shards.shards:
        try:
            unsupported = _verify_records(shards, shard, progress)
            _verify_digest(shard)
            shards.kind.check_index(shard)
        except ShardioError as error:
            wrong = shards.kind.wrong_index(shard)
            faults.append(ShardFault(shard.path, wrong or str(error)))
        else:
            if unsupported:
                faults.append(ShardFault(shard.path, unsupported, damaged=False))
    return faults


def verify_records_table(shards: ShardSet) -> str:
    """Compare records.parquet with the SHA-256 in the manifest; returns what is wrong, or nothing.

    A set may lie in several folders, of which one has to have it.
    """
    if shards.manifest is None or shards.manifest.records is None:
        return ""
    paths = sorted({join(folder_of(shard.path), RECORDS) for shard in shards.shards})
    found = {}
    for path in paths:
        with suppress(MissingFileError):
            found[path] = digest_of(path)
    for path, digest in found.items():
        if digest != shards.manifest.records:
            return f"{path}: its SHA-256 is {digest}, dataset.json says {shards.manifest.records}"
    return "" if found else f"{paths[0]} is missing"


def _verify_records(shards: ShardSet, shard: ShardFile, progress: Callable[[int], object]) -> str:
    """Read all records; returns what is said of the first one that is whole and cannot be used."""
    source = replace(shards, shards=(shard,)).source(verify=True)
    most = max(1, min(_BATCH, _BATCH_BYTES // shards.layout.stride, shard.records))
    images = np.empty((most, shards.layout.image_bytes), dtype=np.uint8)

    def read(ids: NDArray[np.int64]) -> None:
        wrong = wrong_label(source.fetch(ids, images), shards.labels)
        if wrong is not None:
            at, what = wrong
            raise UnsupportedRecordError(f"{shard.path}: record {ids[at]}: {what}")

    unsupported = ""
    for start in range(0, shard.records, most):
        ids = np.arange(start, min(start + most, shard.records))
        try:
            read(ids)
        except UnsupportedRecordError:
            # Behind it there may be damage.
            for at in range(len(ids)):
                try:
                    read(ids[at : at + 1])
                except UnsupportedRecordError as error:
                    unsupported = unsupported or str(error)
        progress(len(ids))
    return unsupported


def _verify_digest(shard: ShardFile) -> None:
    if shard.entry is None:
        return
    found = digest_of(shard.path)
    if found != shard.entry.sha256:
        raise ShardioError(
            f"{shard.path}: its SHA-256 is {found}, dataset.json says {shard.entry.sha256}"
        )
