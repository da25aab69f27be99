"""Streams of one rank for the emulated accelerators: stock tf.data, torch's DataLoader, and ours.

Each gives batches of bytes, one uint8 array (batch, bytes of an image), ready for a device, and is
begun when it is iterated over. Nothing decodes an image, as DLIO's readers do not either: that of
TFRecords takes the bytes from the Example, that of JPEG files for MLPerf Storage 3.0 reads them and
counts them, and both give a batch that was made before. Here the bytes get there.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
import torch
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from reader import open_shards
from reader.batching.options import Shuffle

_HEADS = ("y0", "y1", "y2", "y3")


def tf_files(rank: int, world: int, *, folder: Path, batch: int, size: int) -> tf.data.Dataset:
    """Read files with tf.data: shuffled names, `read_file` in parallel, `batch`."""
    paths = sorted(map(str, folder.glob("*.jpeg")))[rank::world]

    def read(path: tf.Tensor) -> tf.Tensor:
        image = tf.io.decode_raw(tf.io.read_file(path), tf.uint8)
        return tf.ensure_shape(image, (size,))

    dataset = tf.data.Dataset.from_tensor_slices(paths).shuffle(len(paths))
    dataset = dataset.map(read, num_parallel_calls=tf.data.AUTOTUNE, deterministic=False)
    return dataset.batch(batch, drop_remainder=True).repeat().prefetch(tf.data.AUTOTUNE)


def tf_shards(rank: int, world: int, *, folder: Path, batch: int, size: int) -> tf.data.Dataset:
    """Read shards with tf.data's best idiom: parallel reads, `batch`, `parse_example`.

    The shards are dealt to the ranks and shuffled, records are not: a buffer that shuffles would
    only cost.
    """
    paths = sorted(map(str, folder.glob("*.tfrecord")))[rank::world]
    features = {
        "image": tf.io.FixedLenFeature([], tf.string),
        **{head: tf.io.FixedLenFeature([], tf.int64) for head in _HEADS},
    }

    def unpack(records: tf.Tensor) -> Any:
        parsed = tf.io.parse_example(records, features)
        image = tf.reshape(tf.io.decode_raw(parsed["image"], tf.uint8), (batch, size))
        return image, tuple(parsed[head] for head in _HEADS)

    names = tf.data.Dataset.from_tensor_slices(paths).shuffle(len(paths))
    dataset = names.interleave(
        lambda name: tf.data.TFRecordDataset(name, buffer_size=8 << 20),
        cycle_length=min(4, len(paths)),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=False,
    )
    dataset = dataset.batch(batch, drop_remainder=True).repeat()
    return dataset.map(unpack, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


class _Files(Dataset[torch.Tensor]):  # type: ignore[misc]  # torch is not followed
    def __init__(self, folder: Path) -> None:
        self._paths = sorted(map(str, folder.glob("*.jpeg")))

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.from_numpy(np.fromfile(self._paths[index], dtype=np.uint8))


def torch_files(
    rank: int, world: int, *, folder: Path, batch: int, workers: int
) -> Iterator[torch.Tensor]:
    """Read files with a DataLoader of some processes and a DistributedSampler."""
    files = _Files(folder)
    sampler = DistributedSampler(files, world, rank, drop_last=True)
    loader = DataLoader(
        files,
        batch,
        sampler=sampler,
        num_workers=workers,
        persistent_workers=workers > 0,
        multiprocessing_context="fork",  # as usual; here the ranks' own would be inherited
        drop_last=True,
    )
    epoch = 0
    while True:
        sampler.set_epoch(epoch)
        yield from loader
        epoch += 1


def ours(rank: int, world: int, *, folder: Path, batch: int, shuffle: Shuffle) -> Iterable[Any]:
    """Read shards with `to_torch`, CRCs compared, records shuffled."""
    shards = open_shards(str(folder))
    return shards.to_torch(batch, dtype="uint8", shuffle=shuffle, epochs=None, worker=(rank, world))
