"""The plan of a conversion, made from its table and its options."""

from __future__ import annotations

import hashlib

from converter.options import ConvertOptions
from converter.shards.plan import ShardPlan
from converter.table.table import Table
from shardio.format.manifest import Versions
from shardio.format.plan import ConversionPlan


def plan_of(
    table: Table, options: ConvertOptions, shards: ShardPlan, versions: Versions
) -> ConversionPlan:
    """Return everything that decides the bytes of the shards."""
    return ConversionPlan(
        table_sha256=table.sha256,
        transform=options.transform,
        labels=table.heads_of(options.classes),
        splits=shards.splits,
        seed=options.seed,
        versions=versions,
        encoding=options.encoding.name,
        strict_decode=options.strict_decode,
        max_pixels=options.max_pixels,
        truncated=options.truncated,
        split_shares=None if options.splits is None else str(options.splits),
        image_column=options.image_column if table.images is None else table.images.column,
        reading=options.reading.to_json(),
        dropped=_dropped(table),
    )


def _dropped(table: Table) -> tuple[int, str] | None:
    """Return how many rows are left out, and the SHA-256 of their numbers as int64."""
    if not len(table.dropped):
        return None
    numbers = table.dropped.astype("<i8").tobytes()
    return len(table.dropped), hashlib.sha256(numbers).hexdigest()
