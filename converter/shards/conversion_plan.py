"""The plan of a conversion, made from its table and its options."""

from __future__ import annotations

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
    )
