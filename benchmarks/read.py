"""How fast shards are read: ours against tf.data's own idioms and the bare system call.

    python benchmarks/read.py [--records 131072] [--rounds 5] [--folder data/bench]

All ways read the same shards from the page cache, batches of 128, in one process, in turn.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import made_shards
import numpy as np
import tensorflow as tf
from rounds import Way, measure, table, timed

from reader import ShardSet, mix, open_shards

BATCH = 128
HEADS = ("y0", "y1", "y2", "y3")


def stock(paths: list[str], *, tutorial: bool) -> tf.data.Dataset:
    """tf.data's own idioms: parse each record, then batch; or batch, then parse, the best one."""
    features = {
        "image": tf.io.FixedLenFeature([], tf.string),
        **{head: tf.io.FixedLenFeature([], tf.int64) for head in HEADS},
    }

    def unpack(parsed: dict[str, tf.Tensor], shape: list[int]) -> Any:
        image = tf.reshape(tf.io.decode_raw(parsed["image"], tf.uint8), shape)
        return image, tuple(parsed[head] for head in HEADS)

    if tutorial:
        dataset = tf.data.TFRecordDataset(paths)
        dataset = dataset.map(
            lambda record: unpack(tf.io.parse_single_example(record, features), [32, 128, 3])
        )
        return dataset.batch(BATCH, drop_remainder=True).prefetch(2)
    dataset = tf.data.TFRecordDataset(paths, buffer_size=8 << 20, num_parallel_reads=2)
    dataset = dataset.batch(BATCH, drop_remainder=True)
    return dataset.map(
        lambda records: unpack(tf.io.parse_example(records, features), [BATCH, 32, 128, 3]),
        num_parallel_calls=2,
    ).prefetch(2)


def drain(batches: Any) -> int:
    """Go through all batches; returns the number of images."""
    count = 0
    for x, *_ in batches:
        count += len(x)
    return count


def bare(paths: list[str], size: int, stride: int) -> int:
    """Read everything in sequence into one buffer that is used again and again."""
    buffer = bytearray(size)
    total = 0
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        offset = 0
        while got := os.preadv(descriptor, [buffer], offset):
            offset += got
        os.close(descriptor)
        total += offset // stride
    return total


def ways(shards: ShardSet, paths: list[str]) -> list[Way]:
    """List the ways to read."""

    def numpy(name: str, **options: Any) -> Way:
        return Way(f"numpy {name}", timed(lambda: drain(shards.batches(BATCH, **options))))

    def tensors(name: str, make: Callable[[], tf.data.Dataset]) -> Way:
        dataset = make()
        return Way(name, timed(lambda: drain(dataset)))

    stride = shards.layout.stride
    return [
        tensors("tf.data best, no shuffle", lambda: stock(paths, tutorial=False)),
        tensors("tf.data tutorial", lambda: stock(paths, tutorial=True)),
        numpy("uint8 exact", dtype="uint8"),
        numpy("uint8 window", dtype="uint8", shuffle="window"),
        numpy("uint8 none", dtype="uint8", shuffle="none"),
        numpy("uint8 exact, no CRC", dtype="uint8", verify=False),
        numpy("uint8 none, no CRC", dtype="uint8", shuffle="none", verify=False),
        numpy("float32 exact"),
        tensors("to_tf uint8 exact", lambda: shards.to_tf_dataset(BATCH, dtype="uint8")),
        tensors(
            "to_tf uint8 window",
            lambda: shards.to_tf_dataset(BATCH, dtype="uint8", shuffle="window"),
        ),
        tensors(
            "to_tf uint8 none",
            lambda: shards.to_tf_dataset(BATCH, dtype="uint8", shuffle="none"),
        ),
        tensors("to_tf float32 exact", lambda: shards.to_tf_dataset(BATCH)),
        Way("bare preadv, in sequence", timed(lambda: bare(paths, BATCH * stride, stride))),
    ]


def orders(shards: ShardSet, paths: list[str]) -> list[Way]:
    """List orders that are asked for more than a permutation, beside the plain one."""

    def numpy(name: str, read: ShardSet, **options: Any) -> Way:
        return Way(name, timed(lambda: drain(read.batches(BATCH, dtype="uint8", **options))))

    half = len(paths) // 2
    parts = [open_shards(paths[:half]), open_shards(paths[half:])]
    # Made once, as for a stream that goes on for epochs.
    balanced = shards.options(weights={"y0": "balanced"}).weights
    weights = shards.options(weights=np.random.default_rng(1).random(len(shards))).weights
    shuffled = np.random.default_rng(2).permutation(len(shards))[: len(shards) // 2]
    return [
        numpy("exact", shards),
        numpy("every second record", shards[::2]),
        numpy("a list of half of the records", shards[shuffled]),
        numpy("mix of two, 0.7 and 0.3", mix(parts, weights=[0.7, 0.3])),
        numpy("weights of a label", shards, weights=balanced),
        numpy("weights of records", shards, weights=weights),
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=131_072)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=Path("data/bench"))
    arguments = parser.parse_args()
    manifest = made_shards.make(arguments.folder, arguments.records)
    paths = [str(arguments.folder / shard.file) for shard in manifest.shards]
    shards = open_shards(str(arguments.folder))
    rates = measure(ways(shards, paths), arguments.rounds)
    print(table(rates, "tf.data best, no shuffle"))
    rates = measure(orders(shards, paths), 3 * arguments.rounds)
    print(table(rates, "exact"))


if __name__ == "__main__":
    main()
