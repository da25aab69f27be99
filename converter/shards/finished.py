"""The manifest of a conversion whose shards are all finished."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from shardio.format.done import DoneRecord
from shardio.format.manifest import Manifest, ShardEntry
from shardio.format.naming import ShardName
from shardio.format.plan import ConversionPlan


def manifest_of(
    plan: ConversionPlan,
    names: Sequence[ShardName],
    finished: Mapping[ShardName, DoneRecord],
    metadata: Mapping[str, str],
    records: str,
) -> Manifest:
    """Return the manifest of the shards `names`.

    `metadata` is what is said about the set, `records` the SHA-256 of its records.parquet.
    """
    written = sum(done.records for done in finished.values())
    rejected = sum(len(done.rejects) for done in finished.values())
    return Manifest(
        plan_sha256=plan.sha256,
        transform=plan.transform,
        labels=plan.labels,
        seed=plan.seed,
        versions=plan.versions,
        rows_read=written + rejected,
        rows_written=written,
        rows_rejected=rejected,
        shards=tuple(_entry(name, finished[name]) for name in names),
        encoding=plan.encoding,
        metadata=metadata,
        records=records,
    )


def _entry(name: ShardName, done: DoneRecord) -> ShardEntry:
    """Return what the manifest says of a finished shard."""
    return ShardEntry(
        done.file,
        name.split,
        done.records,
        done.bytes,
        done.sha256,
        done.first_crc,
        done.last_crc,
    )
