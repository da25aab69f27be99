"""The first user's way to train, a generator that opens images, against shards of the same images.

    python benchmarks/story.py [--images 4000] [--epochs 2] [--rounds 3] [--folder data/story]

Both train the same small Keras model with four heads of 21,000 classes, in batches of 128 images of
32x128, each in a process of its own, in turn:

- `generator`: open, crop, resize and divide each image by 255 in each epoch, one-hot labels of
  21,000 classes, categorical crossentropy;
- `to_keras`: shards of these images, labels as integers, sparse categorical crossentropy.

Printed are images a second, the peak of the process's memory (all of it, TensorFlow too), and the
share of the training's time that was spent waiting for batches, as StallCallback says it; all of
the last epoch, and medians of the rounds. Shards are made once, and their time is printed.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from made_images import HEADS, KINDS, write_images

BATCH, CLASSES, SIZE = 128, 21_000, (128, 32)
CROP = 0, 0, 300, 30
WAYS = ("generator", "to_keras")


def batches(table: Path) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """Yield batches as the first user made them, without an end."""
    import numpy as np
    from keras.utils import to_categorical
    from PIL import Image

    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    random = np.random.default_rng(0)
    while True:
        order = random.permutation(len(rows))
        for start in range(0, len(rows) - BATCH + 1, BATCH):
            chosen = [rows[number] for number in order[start : start + BATCH]]
            images = []
            for row in chosen:
                image = Image.open(table.parent / row["path"]).crop(CROP).resize(SIZE)
                images.append(np.array(image)[..., :3] / 255)
            labels = [[int(row[head]) for row in chosen] for head in HEADS]
            yield np.array(images), tuple(to_categorical(each, CLASSES) for each in labels)


def train(way: str, folder: Path, images: int, epochs: int) -> dict[str, float]:
    """Train in this process; returns what was measured."""
    import keras

    from reader import StallCallback, open_shards

    image = keras.Input((SIZE[1], SIZE[0], 3))
    layers = keras.layers
    features = layers.Conv2D(16, 3, strides=2, activation="relu")(image)
    features = layers.Conv2D(32, 3, strides=2, activation="relu")(features)
    features = layers.Dense(16)(layers.GlobalAveragePooling2D()(features))
    heads = [layers.Dense(CLASSES, activation="softmax", name=head)(features) for head in HEADS]
    model = keras.Model(image, heads)
    kind = "categorical" if way == "generator" else "sparse_categorical"
    model.compile("sgd", loss=[f"{kind}_crossentropy"] * len(HEADS))
    steps = images // BATCH
    if way == "generator":
        data: Any = batches(folder / "images" / "labels.csv")
    else:
        data = open_shards(folder / "shards").to_keras(BATCH)
    stalls, clock = StallCallback(), _Clock()
    history = model.fit(
        data,
        epochs=epochs,
        steps_per_epoch=steps if way == "generator" else None,
        shuffle=False,
        verbose=0,
        callbacks=[stalls, clock],
    )
    return {
        "images": steps * BATCH / clock.seconds,
        "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "stall": history.history["stall"][-1],
    }


def _Clock() -> Any:  # keras is imported where a model is trained only
    import keras

    class Clock(keras.callbacks.Callback):  # type: ignore[misc]  # keras ships no types
        """The seconds of the last epoch."""

        seconds = 0.0

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self._begun = time.perf_counter()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.seconds = time.perf_counter() - self._begun

    return Clock()


def convert(table: Path, out: Path) -> float:
    """Make shards, if there are none; returns the seconds that it took."""
    if (out / "dataset.json").exists():
        return 0.0
    width, height = SIZE
    command = [
        sys.executable,
        "-m",
        "converter",
        str(table),
        str(out),
        "--size",
        f"{width}x{height}",
    ]
    command += ["--crop", ",".join(map(str, CROP)), "--classes", str(CLASSES)]
    begun = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - begun


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path("data/story"))
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    folder, images = arguments.folder, arguments.images
    if arguments.way:
        print(json.dumps(train(arguments.way, folder, images, arguments.epochs)))
        return
    if images < BATCH:
        parser.error(f"a batch has {BATCH} images")
    table = write_images(folder / "images", KINDS[0], images)
    took = convert(table, folder / "shards")
    command = [sys.executable, __file__, "--images", str(images), "--folder", str(folder)]
    command += ["--epochs", str(arguments.epochs)]
    found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    load = os.getloadavg()[0]
    for _ in range(arguments.rounds):
        for way in WAYS:
            done = subprocess.run(
                [*command, "--way", way], check=True, stdout=subprocess.PIPE, text=True
            )
            found[way].append(json.loads(done.stdout.splitlines()[-1]))
    after = os.getloadavg()[0]
    print(f"{images:,} images, {KINDS[0].title}; shards made in {took:.1f} s")
    print(
        f"medians of {arguments.rounds}; load {load:.1f} to {after:.1f} on {os.cpu_count()} cores"
    )
    print(f"{'':10} {'images/s':>9} {'peak RSS':>9} {'waiting':>8}  ratio")
    medians = {
        way: {name: statistics.median(run[name] for run in runs) for name in runs[0]}
        for way, runs in found.items()
    }
    for way, of_way in medians.items():
        print(
            f"{way:10} {of_way['images']:9,.0f} {of_way['megabytes']:6,.0f} MB "
            f"{of_way['stall']:8.1%}  {of_way['images'] / medians[WAYS[0]]['images']:.2f}"
        )


if __name__ == "__main__":
    main()
