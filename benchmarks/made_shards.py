"""A dataset of random pixels, written without images: something to read."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from shardio.format.framing import frame_footer
from shardio.format.label import Label
from shardio.format.manifest import Manifest, ShardEntry, Versions
from shardio.format.naming import MANIFEST, ShardName
from shardio.format.transform import Transform

# No Pillow has decoded anything.
_NOTHING = Versions("none", "none")
_CAPTCHA = Transform((186, 0, 300, 30), (128, 32))


def make(
    folder: Path,
    records: int,
    shards: int = 16,
    classes: int = 21_000,
    transform: Transform = _CAPTCHA,
) -> Manifest:
    """Write `records` images with four heads to `folder`; keeps what is there.

    They have the size and channels of `transform`, by default 32x128x3.
    """
    path = folder / MANIFEST
    if path.exists():
        manifest = Manifest.from_json(path.read_bytes())
        if (manifest.rows_written, len(manifest.shards), manifest.transform) == (
            records,
            shards,
            transform,
        ):
            return manifest
        if manifest.versions == _NOTHING:  # else it is a set of somebody, and stays
            for old in (MANIFEST, *(shard.file for shard in manifest.shards)):
                (folder / old).unlink(missing_ok=True)
    if folder.is_symlink() or (folder.exists() and any(folder.iterdir())):
        raise SystemExit(f"{folder} holds something else; remove it, or name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    manifest = Manifest(
        plan_sha256="0" * 64,
        transform=transform,
        labels=tuple(Label(f"y{head}", classes) for head in range(4)),
        seed=0,
        versions=_NOTHING,
        rows_read=records,
        rows_written=records,
        rows_rejected=0,
        shards=(),
    )
    layout = manifest.layout
    entries = []
    for index in range(shards):
        rng = np.random.default_rng(index)
        rows = np.arange(records * index // shards, records * (index + 1) // shards)
        tails = layout.tails(rng.integers(0, classes, (len(rows), 4)), rows)
        pixels = rng.integers(0, 256, (len(rows), layout.image_bytes), dtype=np.uint8)
        framed = []
        for image, tail in zip(pixels, tails, strict=True):
            data = layout.prefix + image.tobytes() + tail.tobytes()
            framed.append(layout.head + data[len(layout.prefix) :] + frame_footer(data))
        whole = b"".join(framed)
        name = ShardName("train", index, shards)
        (folder / str(name)).write_bytes(whole)
        first, last = (int.from_bytes(record[-4:], "little") for record in (framed[0], framed[-1]))
        entries.append(
            ShardEntry(
                str(name),
                "train",
                len(rows),
                len(whole),
                hashlib.sha256(whole).hexdigest(),
                first,
                last,
            )
        )
    manifest = replace(manifest, shards=tuple(entries))
    path.write_bytes(manifest.to_json())
    return manifest
