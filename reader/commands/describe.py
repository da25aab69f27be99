"""What a set of shards is, and whether it is whole."""

from __future__ import annotations

from dataclasses import dataclass

from reader.batching.batches import PIPELINE
from reader.batching.memory import Sizes
from reader.batching.options import BatchOptions
from reader.opening.absent_shards import describe_absent
from reader.order.shuffle_quality import window_quality
from reader.shardset import ShardSet
from shardio.format.transform import COLOURS
from shardio.grammar import counted

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
