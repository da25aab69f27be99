"""Small datasets to read, written with the format's own pieces and pixels that are known."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shardio.format.framing import frame_footer
from shardio.format.label import FLOAT, INT, Label, LabelKind, numbers_of
from shardio.format.layout import RecordLayout
from shardio.format.manifest import Manifest, ShardEntry, Versions
from shardio.format.naming import MANIFEST, ShardName
from shardio.format.transform import Transform
from shardio.permutation import Permutation

HEIGHT, WIDTH = 2, 3
CLASSES = (7, 30)
# What labels may be besides one integer.
OTHER_KINDS = (
    Label("ids", 9, None, LabelKind(INT, 3)),
    Label("score", 0, None, LabelKind(FLOAT)),
    Label("box", 0, None, LabelKind(FLOAT, 4)),
)


@dataclass(frozen=True)
class Made:
    """A dataset in a folder, and what it must give back, in the order in which it is stored.

    `labels` are numbers, as the format has them.
    """

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
    more: tuple[Label, ...] = (),
    channels: int = 3,
) -> Made:
    """Write a dataset with `counts` records in its shards; `more` heads come after the usual."""
    folder.mkdir(parents=True, exist_ok=True)
    total = sum(counts)
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (total, HEIGHT, WIDTH, channels), dtype=np.uint8)
    labels = np.stack([rng.integers(0, c, total) for c in CLASSES], axis=1)[:, :heads]
    for label in more:
        shape = total, label.kind.length
        floats = numbers_of(rng.standard_normal(shape, dtype=np.float32))
        integers = rng.integers(0, label.classes or 1, shape)
        labels = np.concatenate([labels, floats if label.kind.is_float else integers], axis=1)
    rows = Permutation(total, seed, f"split {split}")(np.arange(total))
    manifest = Manifest(
        plan_sha256=hashlib.sha256(str(seed).encode()).hexdigest(),
        transform=Transform((186, 0, 300, 30), (WIDTH, HEIGHT), channels=channels),
        labels=(*(Label(names[i], CLASSES[i]) for i in range(heads)), *more),
        seed=seed,
        versions=Versions("12", "2"),
        rows_read=total,
        rows_written=total,
        rows_rejected=0,
        shards=(),
    )
    entries = []
    start = 0
    tails = manifest.layout.tails(labels, rows)
    for index, count in enumerate(counts):
        name = ShardName(split, index, len(counts))
        records = []
        for at in range(start, start + count):
            data = manifest.layout.prefix + images[at].tobytes() + tails[at].tobytes()
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
