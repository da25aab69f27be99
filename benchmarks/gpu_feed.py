"""Whether a GPU waits: training from shards and from image files, beside batches that lie on it.

    python benchmarks/gpu_feed.py [--network resnet18] [--size 224] [--batch 256] [--records 16384]
        [--rounds 5] [--only torch,jax] [--folder data/gpu-feed]

The limit is a training on batches that were made on the device. The ways take turns, an epoch each.
Shards hold uint8 of the final size and come by `to_torch`; files are JPEG of 344x384 that a
DataLoader's processes open, crop and resize with Pillow, one process a core. Both go to the device
by the same code (torch_training.py). JAX trains the same network on the same tensors, by DLPack.
Without a GPU everything is smaller, and says only that it works.
"""

from __future__ import annotations

import argparse
import csv
import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import made_images
import made_shards
import numpy as np
import torch
import torch_training
from networks import NETWORKS, RESNET_18, SMALL
from PIL import Image
from rounds import Way, measure, table, timed
from torch.utils.data import DataLoader, Dataset

from reader import ShardSet, open_shards
from shardio.format.transform import Transform

CLASSES = 1000
LIMIT, SHARDS, FILES = "batches on the device", "shards, to_torch", "files, a DataLoader"
Batches = Iterable[tuple[Any, Any]]


class Files(Dataset[Any]):  # type: ignore[misc]  # torch is not followed
    """Image files: opened, the middle cut out, resized."""

    def __init__(self, listed: Path, size: int) -> None:
        with listed.open(newline="") as file:
            rows = list(csv.DictReader(file))
        self._paths = [str(listed.parent / row["path"]) for row in rows]
        self._labels = [int(row["y0"]) % CLASSES for row in rows]
        self._size = size

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        image = Image.open(self._paths[index]).convert("RGB").crop((0, 20, 344, 364))
        pixels = np.array(image.resize((self._size, self._size), Image.Resampling.BILINEAR))
        return torch.from_numpy(pixels), self._labels[index]


def made_on(device: Any, batch: int, size: int, steps: int) -> Iterator[tuple[Any, Any]]:
    """Yield batches that lie on the device; there are four of them."""
    shape = 4, batch, size, size, 3
    images = torch.randint(0, 256, shape, dtype=torch.uint8, device=device)
    labels = torch.randint(0, CLASSES, shape[:2], device=device)
    for step in range(steps):
        yield images[step % 4], labels[step % 4]


def epoch(training: Any, batches: Callable[[], Batches]) -> int:
    """Train on all batches; returns the number of images, when the device has done them."""
    count = 0
    for x, y in batches():
        training.step(x, y)
        count += len(x)
    training.wait()
    return count


def sources(
    shards: ShardSet, listed: Path, batch: int, size: int, device: Any
) -> dict[str, Callable[[], Batches]]:
    """Return what gives an epoch of batches on the device."""
    steps = len(shards) // batch
    data = shards.to_torch(batch, dtype="uint8", labels=["y0"])
    files = DataLoader(
        Files(listed, size),
        batch,
        shuffle=True,
        num_workers=os.cpu_count() or 1,
        persistent_workers=True,
        pin_memory=device.type == "cuda",
        drop_last=True,
    )
    return {
        LIMIT: lambda: made_on(device, batch, size, steps),
        SHARDS: lambda: torch_training.on_device(DataLoader(data, batch_size=None), device),
        FILES: lambda: torch_training.on_device(files, device),
    }


def main() -> None:
    """Measure and print."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    on_gpu = device.type == "cuda"
    parser = argparse.ArgumentParser(description=__doc__)
    network = (RESNET_18 if on_gpu else SMALL).name
    parser.add_argument("--network", choices=NETWORKS, default=network)
    parser.add_argument("--size", type=int, default=224 if on_gpu else 32, help="of an image")
    parser.add_argument("--batch", type=int, default=256 if on_gpu else 16)
    parser.add_argument("--records", type=int, default=16_384 if on_gpu else 128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="torch,jax")
    parser.add_argument("--folder", type=Path, default=Path("data/gpu-feed"))
    arguments = parser.parse_args()
    size, batch, records = arguments.size, arguments.batch, arguments.records
    if records < batch:
        raise SystemExit(f"{records} records are less than a batch of {batch}")
    folder = arguments.folder / f"shards-{records}-{size}"
    transform = Transform(size=(size, size))
    made_shards.make(folder, records, classes=CLASSES, transform=transform)
    kind = next(kind for kind in made_images.KINDS if kind.name == "jpeg")
    listed = made_images.write_images(arguments.folder / f"jpeg-{records}", kind, records)
    given = sources(open_shards(str(folder)), listed, batch, size, device)
    name = torch.cuda.get_device_name(device) if on_gpu else "no GPU, so that nothing overlaps"
    print(f"{name}; {arguments.network}, {size}x{size}, batches of {batch}")
    for framework in arguments.only.split(","):
        training: Any
        if framework == "jax":
            import jax_training

            training = jax_training.Training(NETWORKS[arguments.network], 3, CLASSES)
        else:
            training = torch_training.Training(NETWORKS[arguments.network], 3, CLASSES, device)
        ways = [Way(way, timed(partial(epoch, training, make))) for way, make in given.items()]
        print(f"\n{framework}\n{table(measure(ways, arguments.rounds), LIMIT)}", flush=True)


if __name__ == "__main__":
    main()
