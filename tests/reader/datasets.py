"""Small datasets to read, written with the format's own pieces and pixels that are known."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shardio.format.framing import frame_footer
from shardio.format.layout import RecordLayout
from shardio.format.manifest import Label, Manifest, ShardEntry, Versions
from shardio.format.naming import MANIFEST, ShardName
from shardio.format.transform import Transform

HEIGHT, WIDTH = 2, 3
CLASSES = (7, 30)


@dataclass(frozen=True)
class Made:
    """A dataset in a folder, and what it must give back, in the order in which it is stored."""

    folder: Path
    manifest: Manifest
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    rows: NDArray[np.int64]

    @property
    def glob(self) -> str:
        return f"{self.folder}/train-*.tfrecord"

    @property
    def layout(self) -> RecordLayout:
        return self.manifest.layout

    def shard(self, index: int) -> Path:
        return self.folder / self.manifest.shards[index].file


def write_dataset(
    folder: Path,
    counts: tuple[int, ...] = (5, 0, 8, 1, 23),
    *,
    seed: int = 0,
    heads: int = 2,
    names: tuple[str, str] = ("y0", "y1"),
    split: str = "train",
) -> Made:
    """Write a dataset with `counts` records in its shards."""
    folder.mkdir(parents=True, exist_ok=True)
    total = sum(counts)
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (total, HEIGHT, WIDTH, 3), dtype=np.uint8)
    labels = np.stack([rng.integers(0, c, total) for c in CLASSES], axis=1)[:, :heads]
    rows = rng.permutation(total)
    manifest = Manifest(
        plan_sha256=hashlib.sha256(str(seed).encode()).hexdigest(),
        transform=Transform(size=(WIDTH, HEIGHT)),
        labels=tuple(Label(names[i], CLASSES[i]) for i in range(heads)),
        seed=seed,
        versions=Versions("12", "2"),
        rows_read=total,
        rows_written=total,
        rows_rejected=0,
        shards=(),
    )
    entries = []
    start = 0
    for index, count in enumerate(counts):
        name = ShardName(split, index, len(counts))
        records = []
        for at in range(start, start + count):
            data = manifest.layout.encode(images[at].tobytes(), labels[at].tolist(), int(rows[at]))
            head = manifest.layout.head[:12]
            records.append(head + data + frame_footer(data))
        start += count
        whole = b"".join(records)
        (folder / str(name)).write_bytes(whole)
        crcs: list[int | None] = [int.from_bytes(record[-4:], "little") for record in records]
        crcs = crcs or [None]
        digest = hashlib.sha256(whole).hexdigest()
        entries.append(ShardEntry(str(name), split, count, len(whole), digest, crcs[0], crcs[-1]))
    manifest = replace(manifest, shards=tuple(entries))
    (folder / MANIFEST).write_bytes(manifest.to_json())
    return Made(folder, manifest, images, labels, rows)
