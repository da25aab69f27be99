"""How fast shards are read: ours against tf.data's own idioms and the bare system call.

    python benchmarks/read.py [--records 131072] [--rounds 5] [--folder data/bench] [--only TABLE]

All ways read the same shards from the page cache, batches of 128, in one process, in turn. The
tables are `ways`, `orders`, `labels`, `tensorflow` and `fit`.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import made_shards
import numpy as np
import tensorflow as tf
from rounds import Way, measure, table, timed

from reader import ShardSet, mix, open_shards
from reader.measure.adaptors import counted
from reader.measure.stock import stock

BATCH = 128
HEADS = ("y0", "y1", "y2", "y3")


def tutorial(paths: list[str]) -> tf.data.Dataset:
    """tf.data's idiom of the tutorials: parse each record, then batch."""
    features = {
        "image": tf.io.FixedLenFeature([], tf.string),
        **{head: tf.io.FixedLenFeature([], tf.int64) for head in HEADS},
    }

    def parsed(record: tf.Tensor) -> Any:
        found = tf.io.parse_single_example(record, features)
        image = tf.reshape(tf.io.decode_raw(found["image"], tf.uint8), [32, 128, 3])
        return image, tuple(found[head] for head in HEADS)

    dataset = tf.data.TFRecordDataset(paths).map(parsed)
    return dataset.batch(BATCH, drop_remainder=True).prefetch(2)


def drain(batches: Any) -> int:
    """Go through all batches; returns the number of images."""
    return sum(counted(batches))


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
        tensors("tf.data best, no shuffle", lambda: stock(shards, BATCH, shuffled=0)),
        tensors("tf.data tutorial", lambda: tutorial(paths)),
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
        return Way(name, timed(lambda: drain(read.batches(BATCH, **{"dtype": "uint8", **options}))))

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
        numpy("a transform that does nothing", shards, transform=lambda x, ys, rng: (x, ys)),
        numpy("float32", shards, dtype="float32"),
        numpy("float32, transform: brightness", shards, dtype="float32", transform=brighter),
    ]


def labels(shards: ShardSet) -> list[Way]:
    """List labels as integers, for a sparse loss, and one-hot, for as many classes as there are."""

    def ways(name: str, **options: Any) -> list[Way]:
        dataset = shards.to_tf_dataset(BATCH, dtype="uint8", **options)
        numpy = timed(lambda: drain(shards.batches(BATCH, dtype="uint8", **options)))
        return [
            Way(f"batches, {name}", numpy),
            Way(f"to_tf_dataset, {name}", timed(lambda: drain(dataset))),
        ]

    return [*ways(INTEGERS), *ways("one_hot", one_hot=True)]


def brighter(x: Any, ys: Any, rng: np.random.Generator) -> tuple[Any, Any]:
    """Change the brightness of each image, in place."""
    x *= rng.uniform(0.8, 1.2, (len(x), 1, 1, 1)).astype(np.float32)
    return x, ys


def ready(shards: ShardSet) -> tf.data.Dataset:
    """Return the limit of tf.data: batches that Python has ready, from memory as it wants it."""
    images = next(shards.batches(BATCH, dtype="uint8"))[0]
    labels = [np.zeros(BATCH, dtype=np.int32) for _ in HEADS]

    def batch(number: tf.Tensor) -> Any:
        dtypes = [tf.uint8, *(tf.int32 for _ in HEADS)]
        x, *ys = tf.numpy_function(lambda _: [images, *labels], [number], dtypes)
        x.set_shape(images.shape)
        for y in ys:
            y.set_shape((BATCH,))
        return x, tuple(ys)

    dataset = tf.data.Dataset.range(len(shards) // BATCH)
    return dataset.map(batch, num_parallel_calls=2, deterministic=True).prefetch(2)


def tensorflow(shards: ShardSet) -> list[Way]:
    """List the adaptors for TensorFlow and Keras, beside what limits them."""

    def in_graph(dataset: tf.data.Dataset) -> Callable[[], int]:
        @tf.function  # type: ignore[untyped-decorator]
        def total() -> tf.Tensor:
            count = tf.constant(0)
            for x, _ in dataset:
                count += tf.shape(x)[0]
            return count

        return lambda: int(total())

    def items() -> int:
        count = sum(len(sequence[index][0]) for index in range(len(sequence)))
        sequence.on_epoch_end()
        return count

    limit, ours = ready(shards), shards.to_tf_dataset(BATCH, dtype="uint8")
    large = shards.to_tf_dataset(8 * BATCH, dtype="uint8")
    sequence = shards.to_keras(BATCH, dtype="uint8")
    return [
        Way(NUMPY, timed(lambda: drain(shards.batches(BATCH, dtype="uint8")))),
        Way(READY, timed(lambda: drain(limit))),
        Way(f"{READY}, in a graph", timed(in_graph(limit))),
        Way("to_tf_dataset", timed(lambda: drain(ours))),
        Way("to_tf_dataset, in a graph", timed(in_graph(ours))),
        Way("to_tf_dataset, 1,024 a batch", timed(lambda: drain(large))),
        Way("to_keras", timed(items)),
    ]


def fits(shards: ShardSet) -> list[Way]:
    """List ways to train a model that has next to nothing to compute: what a step costs."""

    def fit(name: str, batch: int, steps: int) -> Way:
        image = keras.Input((32, 128, 3))
        pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(image))
        model = keras.Model(image, [keras.layers.Dense(1)(pooled) for _ in HEADS])
        model.compile("sgd", "mse", steps_per_execution=steps)
        dataset = shards.to_tf_dataset(batch, dtype="uint8")

        def work() -> int:
            model.fit(dataset, shuffle=False, verbose=0)
            return len(shards)

        return Way(name, timed(work))

    return [
        fit(FIT, BATCH, 1),
        fit("fit, steps_per_execution=16", BATCH, 16),
        fit("fit, batches of 1,024", 8 * BATCH, 1),
    ]


INTEGERS = "integers"
FIT = "fit, batches of 128"
NUMPY, READY, SLOWER = "batches", "numpy_function, ready array", "the slower of the first two"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=131_072)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=Path("data/bench"))
    parser.add_argument("--only", choices=["ways", "orders", "labels", "tensorflow", "fit"])
    arguments = parser.parse_args()
    manifest = made_shards.make(arguments.folder, arguments.records)
    paths = [str(arguments.folder / shard.file) for shard in manifest.shards]
    shards = open_shards(str(arguments.folder))
    if arguments.only in (None, "ways"):
        rates = measure(ways(shards, paths), arguments.rounds)
        print(table(rates, "tf.data best, no shuffle"))
    if arguments.only in (None, "orders"):
        rates = measure(orders(shards, paths), 3 * arguments.rounds)
        print(table(rates, "exact"))
    if arguments.only in (None, "labels"):
        rates = measure(labels(shards), arguments.rounds)
        print(table(rates, f"to_tf_dataset, {INTEGERS}"))
    if arguments.only in (None, "tensorflow"):
        rates = measure(tensorflow(shards), 3 * arguments.rounds)
        rates[SLOWER] = list(map(min, rates[NUMPY], rates[READY]))
        print(table(rates, SLOWER))
    if arguments.only in (None, "fit"):
        rates = measure(fits(shards), arguments.rounds)
        print(table(rates, FIT))


if __name__ == "__main__":
    main()
