"""NVIDIA DALI on the CPU: readers.tfrecord over our own shards and their indexes."""

import json
import sys
from pathlib import Path

from loop import BATCH, work
from nvidia.dali import fn, pipeline_def, types
from nvidia.dali import tfrecord as tfrec

SHARDS = Path(sys.argv[3])
_made = []


def prepare(folder, data):
    """The shards are read as they are; their indexes were made before."""


@pipeline_def(batch_size=BATCH, num_threads=2, device_id=None, prefetch_queue_depth=2)
def pipeline(paths, indexes):
    features = {"image": tfrec.FixedLenFeature((), tfrec.string, "")}
    features |= {f"y{head}": tfrec.FixedLenFeature([1], tfrec.int64, -1) for head in range(4)}
    read = fn.readers.tfrecord(
        path=paths,
        index_path=indexes,
        features=features,
        random_shuffle=True,
        initial_fill=4096,
        read_ahead=True,
        name="reader",
    )
    image = fn.reshape(fn.reinterpret(read["image"], dtype=types.UINT8), shape=[32, 128, 3])
    return image, fn.cat(*[read[f"y{head}"] for head in range(4)])


def epoch(folder):
    if not _made:
        paths = sorted(map(str, SHARDS.glob("*.tfrecord")))
        made = pipeline(paths, [f"{path}.idx" for path in paths])
        made.build()
        size = sum(
            shard["records"]
            for shard in json.loads((SHARDS / "dataset.json").read_text())["shards"]
        )
        _made.extend([made, size])
    made, size = _made
    for _ in range(size // BATCH):
        x, y = made.run()
        yield x.as_array(), y.as_array()


if __name__ == "__main__":
    work(prepare, epoch)
