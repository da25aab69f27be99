"""Shards as others write them: with TensorFlow's own writer."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

tf = pytest.importorskip("tensorflow")

SHAPE = (24, 40, 3)
COUNTS = (5, 0, 8, 1, 23)
STARTS = (0, 5, 5, 13, 14)


def example(**features: Any) -> bytes:
    """Serialize an Example; a feature's kind is that of its values, `__` in a name is a slash."""
    made = {}
    for name, value in features.items():
        values = value if isinstance(value, list) else [value]
        if all(isinstance(v, bytes) for v in values):
            feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
        elif all(isinstance(v, float) for v in values):
            feature = tf.train.Feature(float_list=tf.train.FloatList(value=values))
        else:
            feature = tf.train.Feature(int64_list=tf.train.Int64List(value=values))
        made[name.replace("__", "/")] = feature
    data: bytes = tf.train.Example(features=tf.train.Features(feature=made)).SerializeToString()
    return data


def encode(pixels: NDArray[np.uint8], kind: str) -> bytes:
    if kind == "raw":
        return pixels.tobytes()
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind)
    return out.getvalue()


def decoded(data: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def photos(count: int, shape: tuple[int, int, int] = SHAPE, seed: int = 0) -> NDArray[np.uint8]:
    """Smooth images, as JPEG likes them, all of them different."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)
    height, width = shape[:2]
    return np.stack([np.asarray(Image.fromarray(p).resize((width, height))) for p in small])


def write_records(path: Path, records: Sequence[bytes], options: Any = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path), options) as writer:
        for record in records:
            writer.write(record)


class Foreign:
    """A set of shards, and what it must give back."""

    def __init__(self, folder: Path, kind: str = "JPEG", counts: Sequence[int] = COUNTS) -> None:
        self.folder = folder
        self.kind = kind
        total = sum(counts)
        pixels = photos(total)
        self.files = [encode(image, kind) for image in pixels]
        self.images = pixels if kind == "raw" else np.stack([decoded(f) for f in self.files])
        self.labels = np.random.default_rng(1).integers(0, 1000, total)
        self.records = [
            example(
                image__encoded=data,
                image__class__label=int(label),
                image__class__text=b"cat" * (number % 5),
                image__height=24,
                box=[0.5, 0.25],
            )
            for number, (data, label) in enumerate(zip(self.files, self.labels, strict=True))
        ]
        start = 0
        for index, count in enumerate(counts):
            write_records(self.shard(index), self.records[start : start + count])
            start += count

    def shard(self, index: int) -> Path:
        return self.folder / f"foreign-{index}.tfrecord"

    @property
    def glob(self) -> str:
        return f"{self.folder}/foreign-*"

    @property
    def offsets(self) -> list[int]:
        """Where each record begins in its shard."""
        found = []
        for start, count in zip(STARTS, COUNTS, strict=True):
            at = 0
            for record in self.records[start : start + count]:
                found.append(at)
                at += len(record) + 16
        return found
