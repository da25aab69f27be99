"""What a set of shards is, in facts and in lines for people."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from typing import Any

from reader.batching.batches import PIPELINE
from reader.batching.memory import Sizes
from reader.batching.options import BatchOptions
from reader.opening.absent_shards import describe_absent
from reader.order.shuffle_quality import window_quality
from reader.shardset import ShardSet
from shardio.format.label import Label
from shardio.format.sequences import sequences_of
from shardio.format.transform import COLOURS
from shardio.grammar import counted
from shardio.plain_text import plain_text
from shardio.sizes import measured

_NAMED = 5
# From here on nobody can tell a window from an exact shuffle.
_AS_GOOD = 0.95


def facts(shards: ShardSet, memory: int | str | None = None) -> dict[str, Any]:
    """Describe a set of shards in values that JSON takes.

    `orders` says what a stream of batches with the options' defaults owns, in bytes, within
    `memory` if it is given, and how well `window` shuffles: from how many blocks a batch comes.
    """
    height, width, channels = shards.shape
    manifest = shards.manifest
    how_large, *features = shards.kind.in_words()
    return {
        "records": len(shards),
        "shards": len(shards.shards),
        "bytes": len(shards) * shards.kind.record_bytes,
        "image": {
            "height": height,
            "width": width,
            "channels": channels,
            "dtype": shards.kind.image_dtype,
        },
        "record": how_large,
        "features": features,
        "labels": [label.to_json() for label in shards.labels],
        "splits": shards.splits,
        "left_out": list(shards.left_out),
        "absent": dict(describe_absent(manifest, [shard.path for shard in shards.shards])),
        "default_order": "exact" if shards.is_local else "window",
        "orders": _orders(shards, memory),
        "dataset": None
        if manifest is None
        else {
            "id": manifest.fingerprint,
            "encoding": manifest.encoding,
            "transform": manifest.transform.line(),
            "pillow": manifest.versions.pillow,
            "libjpeg": manifest.versions.libjpeg,
            "rows_read": manifest.rows_read,
            "rows_written": manifest.rows_written,
            "rows_rejected": manifest.rows_rejected,
            "seed": manifest.seed,
            "metadata": dict(manifest.metadata),
        },
    }


def _orders(shards: ShardSet, memory: int | str | None) -> dict[str, Any]:
    source = shards.source(verify=True)
    found: dict[str, Any] = {}
    for shuffle in ("exact", "window"):
        options = BatchOptions(shuffle=shuffle, memory=memory, worker=(0, 1))
        plan = Sizes.of(shards, source, PIPELINE).plan(options)
        found[shuffle] = {
            "batch_size": options.batch_size,
            "dtype": options.dtype,
            "memory": plan.total,
            "memory_of": {name: size for name, size in plan.parts.items() if size},
        }
    quality = window_quality(len(shards), options.batch_size, plan.block, plan.window, 1)
    found["window"] |= {
        "blocks": plan.window,
        "block_records": plan.block,
        "blocks_in_a_batch": round(quality.mixed, 1),
        "blocks_in_a_batch_of_exact": round(quality.exact, 1),
        "quality": round(quality.ratio, 3),
    }
    return found


def info(shards: ShardSet, memory: int | str | None = None) -> list[str]:
    """Describe a set of shards in lines for people; the values are those of `facts`."""
    known = facts(shards, memory)
    image, size = known["image"], measured(known["bytes"])
    rows = [
        ("records", f"{len(shards):,} in {counted(known['shards'], 'shard')}, {size}"),
        (
            "images",
            f"{image['width']}x{image['height']} {COLOURS[image['channels']]}, {image['dtype']}; "
            f"{known['record']}",
        ),
        *(("features", line) for line in known["features"]),
        *_label_rows(shards.labels),
    ]
    if len(known["splits"]) > 1:
        counts = (f"{split} {count:,}" for split, count in known["splits"].items())
        rows.append(("splits", ", ".join(counts)))
    left_out = known["left_out"]
    if left_out:
        total = counted(known["shards"] + len(left_out), "shard")
        more = ", ..." if len(left_out) > _NAMED else ""
        names = ", ".join(left_out[:_NAMED])
        rows.append(("partial", f"{known['shards']} of {total} taken; left out: {names}{more}"))
    rows += known["absent"].items()
    rows += _dataset_rows(known["dataset"])
    lines = [*(f"{word:<9} {what}" for word, what in rows), "", *_order_lines(known)]
    return [plain_text(line) for line in lines]


def _label_rows(labels: tuple[Label, ...]) -> list[tuple[str, str]]:
    """Name the heads, those of one kind in one line."""
    rows = []
    lengths = set(sequences_of(labels).values())

    def said(label: Label) -> str:
        return "number of characters" if label.name in lengths else str(label)

    for what, group in groupby(labels, said):
        names = [label.name for label in group]
        each = " each" if len(names) > 1 else ""
        rows.append(("labels" if len(names) > 1 else "label", f"{', '.join(names)}: {what}{each}"))
    return rows or [("label", "none")]


def _dataset_rows(dataset: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    if dataset is None:
        return [("manifest", "none: sizes and digests cannot be compared")]
    kind = "" if dataset["encoding"] == "raw" else f"{dataset['encoding']}, "
    return [
        *dataset["metadata"].items(),
        (
            "made by",
            f"{kind}{dataset['transform']}, Pillow {dataset['pillow']}, {dataset['libjpeg']}",
        ),
        (
            "dataset",
            f"{counted(dataset['rows_read'], 'row')} = {dataset['rows_written']:,} written + "
            f"{dataset['rows_rejected']:,} rejected, seed {dataset['seed']}",
        ),
        ("id", dataset["id"][:16]),
    ]


def _order_lines(known: Mapping[str, Any]) -> list[str]:
    """Say what the orders are, and what a stream of batches owns in each."""
    exact, window = known["orders"]["exact"], known["orders"]["window"]
    default = {known["default_order"]: " (the default here)"}
    if window["quality"] >= _AS_GOOD:
        mixes = "mixes a batch as well as exact"
    else:
        mixes = (
            f"a batch comes from {window['blocks_in_a_batch']:.0f} blocks, and with exact from "
            f"{window['blocks_in_a_batch_of_exact']:.0f}"
        )
    slow = (
        "" if known["default_order"] == "exact" else "; here each record is a request, 1 to 10 ms"
    )
    what = {
        "exact": f"a new permutation of all records in every epoch{slow}",
        "window": f"shuffles {window['blocks']:,} blocks of {window['block_records']:,} neighbours "
        f"together: {mixes}",
    }
    return [
        f"order     memory    of batches of {exact['batch_size']} images, {exact['dtype']}",
        *(
            f"{name:<10}{measured(known['orders'][name]['memory']):<10}{text}"
            f"{default.get(name, '')}"
            for name, text in what.items()
        ),
    ]
