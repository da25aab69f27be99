"""How fast images are converted: one and two workers against the plain loop.

    python benchmarks/convert.py [--rounds 5] [--scale 1] [--kinds jpeg,png] [--workers-only]

The plain loop is the reference expression with TensorFlow's own writer: open, crop, resize,
np.array, TFRecordWriter, in one process, with the same Pillow. Each run is a process of its own;
imports are not counted, but the start of workers is. The images are in the page cache.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path

from made_images import HEADS, KINDS, write_images
from rounds import Way, measure, table

from shardio.format.transform import Transform

_IMPORTED = ("multiprocessing.sharedctypes", "pyarrow.compute", "pyarrow.csv")
TRANSFORM = Transform((186, 0, 300, 30), (128, 32))
# So many that one worker takes some seconds.
COUNTS = {"jpeg": 16_000, "large-jpeg": 3_000, "png": 8_000}


def plain(labels: Path, out: Path) -> float:
    """Convert with the plain loop; returns the seconds."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import numpy as np
    import tensorflow as tf
    from PIL import Image

    def ints(value: int) -> tf.train.Feature:
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))

    start = time.perf_counter()
    out.mkdir(parents=True)
    with (
        labels.open(newline="") as file,
        tf.io.TFRecordWriter(str(out / "train.tfrecord")) as writer,
    ):
        for number, row in enumerate(csv.DictReader(file)):
            image = Image.open(labels.parent / row["path"]).crop(TRANSFORM.crop)
            pixels = np.array(image.resize((128, 32)))[..., :3]
            bytes_list = tf.train.BytesList(value=[pixels.tobytes()])
            features = {"image": tf.train.Feature(bytes_list=bytes_list), "row": ints(number)}
            features |= {head: ints(int(row[head])) for head in HEADS}
            example = tf.train.Example(features=tf.train.Features(feature=features))
            writer.write(example.SerializeToString())
    return time.perf_counter() - start


def ours(labels: Path, out: Path, workers: int) -> float:
    """Convert with `workers` processes; returns the seconds."""
    from converter import ConvertOptions, convert

    # What it imports when it needs it; the others have imported all by now.
    for name in ("converter.imaging.transformer", "converter.engines.processes", *_IMPORTED):
        import_module(name)
    start = time.perf_counter()
    convert(str(labels), str(out), ConvertOptions(transform=TRANSFORM), workers=workers)
    return time.perf_counter() - start


def way(name: str, how: str, labels: Path, images: int) -> Way:
    """Make a way that runs this script as `--only HOW` and takes the time that it prints."""

    def run() -> float:
        with tempfile.TemporaryDirectory(dir=labels.parent.parent) as folder:
            command = [sys.executable, __file__, "--only", how, str(labels), f"{folder}/out"]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
        return images / float(done.stdout.split()[-1])

    return Way(name, run)


def main() -> None:
    """Measure and print."""
    if sys.argv[1:2] == ["--only"]:
        how, labels, out = sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4])
        print(plain(labels, out) if how == "plain" else ours(labels, out, int(how)))
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="times as many images")
    parser.add_argument("--kinds", default=",".join(COUNTS), help="kinds of images, between commas")
    parser.add_argument("--workers-only", action="store_true", help="leave out the plain loop")
    parser.add_argument("--folder", type=Path, default=Path("data/bench-images"))
    arguments = parser.parse_args()
    for kind in (kind for kind in KINDS if kind.name in arguments.kinds.split(",")):
        images = int(COUNTS[kind.name] * arguments.scale)
        labels = write_images(arguments.folder / f"{kind.name}-{images}", kind, images)
        ways = [] if arguments.workers_only else [way("plain loop", "plain", labels, images)]
        ways += [way("1 worker", "1", labels, images), way("2 workers", "2", labels, images)]
        rates = measure(ways, arguments.rounds)
        print(f"{images} images, {kind.title}")
        if not arguments.workers_only:
            print(table(rates, "plain loop"))
        print(table({name: rates[name] for name in ("1 worker", "2 workers")}, "1 worker"))


if __name__ == "__main__":
    main()
