"""Datasets of given pixels, with one head, in any splits."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shardio.format.framing import frame_footer
from shardio.format.label import Label
from shardio.format.manifest import Manifest, ShardEntry, Versions
from shardio.format.naming import MANIFEST, ShardName
from shardio.format.transform import Transform


def write_images_set(
    folder: Path,
    splits: Mapping[str, int],
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    *,
    vocabulary: tuple[str, ...] | None = None,
    metadata: Mapping[str, str] | None = None,
    rejected: int = 0,
) -> None:
    """Write images (n, height, width, channels), dealt to `splits` in order, one shard each."""
    folder.mkdir(parents=True, exist_ok=True)
    total, height, width, channels = images.shape
    classes = int(labels.max()) + 1 if vocabulary is None else len(vocabulary)
    manifest = Manifest(
        plan_sha256="0" * 64,
        transform=Transform(size=(width, height), channels=channels),
        labels=(Label("y0", classes, vocabulary),),
        seed=0,
        versions=Versions("12", "2"),
        rows_read=total + rejected,
        rows_written=total,
        rows_rejected=rejected,
        shards=(),
        metadata=metadata or {},
    )
    layout = manifest.layout
    tails = layout.tails(labels[:, None], np.arange(total))
    entries, start = [], 0
    for split, count in sorted(splits.items()):
        framed = []
        for at in range(start, start + count):
            data = layout.prefix + images[at].tobytes() + tails[at].tobytes()
            framed.append(layout.head[:12] + data + frame_footer(data))
        start += count
        name, whole = ShardName(split, 0, 1), b"".join(framed)
        (folder / str(name)).write_bytes(whole)
        first, last = (int.from_bytes(framed[at][-4:], "little") for at in (0, -1))
        digest = hashlib.sha256(whole).hexdigest()
        entries.append(ShardEntry(str(name), split, count, len(whole), digest, first, last))
    (folder / MANIFEST).write_bytes(replace(manifest, shards=tuple(entries)).to_json())
