from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shardio.format.framing import frame_footer
from shardio.format.layout import RecordLayout
from shardio.sizes import parse_bytes

# What Python, NumPy and the modules of the reader take, as documented in reader/batching/memory.py.
BASE = 30_000_000
SHAPE = (32, 128, 3)
SHARD_RECORDS = 8_000

# With tiny records the order is most of what a stream owns.
TINY = (1, 2, 3)
TINY_RECORDS = 250_000

# Reads a set and prints the peak of the anonymous memory: what the process owns. Pages of files do
# not count, since the kernel takes them back when it likes.
_READ = """
import json, sys
from reader import open_shards

def owned():
    for line in open("/proc/self/status"):
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024

shards = open_shards(sys.argv[1], shape=json.loads(sys.argv[3]), classes=1000)
batches = shards.batches(128, **json.loads(sys.argv[2]))
peak = count = 0
for step, (x, *_) in enumerate(batches):
    count += len(x)
    if step % 5 == 0:
        peak = max(peak, owned())
print(len(shards), count, peak, batches.memory.total)
"""


def make_shard(path: Path, shape: tuple[int, int, int], records: int, heads: int) -> Path:
    layout = RecordLayout(math.prod(shape), tuple(f"y{head}" for head in range(heads)))
    tails = layout.tails(np.zeros((records, heads), dtype=np.int64), np.arange(records))
    pixels = np.random.default_rng(0).integers(0, 256, layout.image_bytes, np.uint8).tobytes()
    with path.open("wb") as file:
        for tail in tails:
            data = layout.prefix + pixels + tail.tobytes()
            file.write(layout.head[:12] + data + frame_footer(data))
    return path


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("one") / "one.tfrecord"
    return make_shard(path, SHAPE, SHARD_RECORDS, 4)


def read(
    shard: Path,
    folder: Path,
    links: int,
    options: dict[str, Any],
    shape: tuple[int, int, int] = SHAPE,
) -> tuple[int, int, int]:
    """Read a set of `links` names of one shard; returns how many records, the peak, and the sum."""
    folder.mkdir()
    for index in range(links):
        os.link(shard, folder / f"train-{index:05d}-of-{links:05d}.tfrecord")
    done = subprocess.run(
        [sys.executable, "-c", _READ, f"{folder}/*.tfrecord", *map(json.dumps, (options, shape))],
        capture_output=True,
        text=True,
        check=True,
    )
    length, count, peak, total = map(int, done.stdout.split())
    assert length == links * (TINY_RECORDS if shape != SHAPE else SHARD_RECORDS)
    return count, peak, total


@pytest.mark.memory
@pytest.mark.parametrize(
    "options",
    [
        {"shuffle": "exact", "memory": "64MB"},
        {"shuffle": "window", "memory": "200MB", "dtype": "uint8"},
        {"shuffle": "none", "memory": "64MB", "one_hot": True, "dtype": "uint8"},
    ],
    ids=lambda options: str(options["shuffle"]),
)
def test_memory_is_bounded_and_does_not_grow_with_the_set(
    shard: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    options = {"drop_remainder": False, **options}
    gigabyte = 10**9 // shard.stat().st_size
    some, small, total = read(shard, tmp_path / "1", gigabyte, options)
    many, large, again = read(shard, tmp_path / "10", 10 * gigabyte, options)
    assert 10 * some == many == 10 * gigabyte * SHARD_RECORDS
    bound = parse_bytes(options["memory"])
    assert bound is not None
    assert total == again <= bound
    assert abs(large - small) <= 0.05 * small, (small, large)
    assert large <= bound + BASE, (large, total)
    # A sum that is far above what is taken would be no sum.
    assert total <= 1.5 * large, (large, total)


@pytest.mark.memory
def test_memory_is_bounded_for_one_of_many_workers(tmp_path: Path) -> None:
    shard = make_shard(tmp_path / "one.tfrecord", TINY, TINY_RECORDS, 0)
    links, world = 32, 100
    options = {"shuffle": "window", "memory": "35MB", "worker": [3, world]}
    count, peak, total = read(shard, tmp_path / "many", links, options, TINY)
    # Every window of the tail, where all share what is left, is looked at too.
    assert 0 <= links * TINY_RECORDS // world - count < 128 + 64
    assert peak <= 35_000_000 + BASE, (peak, total)
