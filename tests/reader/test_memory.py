from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reader.memory_size import parse_memory
from shardio.format.framing import frame_footer
from shardio.format.layout import RecordLayout

# What Python, NumPy and the modules of the reader take, as documented in reader/memory.py.
BASE = 30_000_000
SHARD_RECORDS = 8_000

# Reads a set and prints the peak of the anonymous memory: what the process owns. Pages of files do
# not count, since the kernel takes them back when it likes.
_READ = """
import json, sys
from reader import open_shards

def owned():
    for line in open("/proc/self/status"):
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024

shards = open_shards(sys.argv[1], shape=(32, 128, 3), classes=1000)
batches = shards.batches(128, drop_remainder=False, **json.loads(sys.argv[2]))
peak = count = 0
for step, (x, ys) in enumerate(batches):
    count += len(x)
    if step % 5 == 0:
        peak = max(peak, owned())
print(len(shards), count, peak, batches.memory.total)
"""


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    layout = RecordLayout(32 * 128 * 3, ("y0", "y1", "y2", "y3"))
    tails = layout.tails(np.zeros((SHARD_RECORDS, 4), dtype=np.int64), np.arange(SHARD_RECORDS))
    pixels = np.random.default_rng(0).integers(0, 256, layout.image_bytes, np.uint8).tobytes()
    path = tmp_path_factory.mktemp("one") / "one.tfrecord"
    with path.open("wb") as file:
        for tail in tails:
            data = layout.prefix + pixels + tail.tobytes()
            file.write(layout.head[:12] + data + frame_footer(data))
    return path


def read(shard: Path, folder: Path, links: int, options: dict[str, Any]) -> tuple[int, int]:
    """Read a set of `links` names of one shard; returns the peak and what the reader says."""
    folder.mkdir()
    for index in range(links):
        os.link(shard, folder / f"train-{index:05d}-of-{links:05d}.tfrecord")
    done = subprocess.run(
        [sys.executable, "-c", _READ, f"{folder}/*.tfrecord", json.dumps(options)],
        capture_output=True,
        text=True,
        check=True,
    )
    length, count, peak, total = map(int, done.stdout.split())
    assert length == count == links * SHARD_RECORDS
    return peak, total


@pytest.mark.slow
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
    gigabyte = 10**9 // shard.stat().st_size
    small, total = read(shard, tmp_path / "1", gigabyte, options)
    large, again = read(shard, tmp_path / "10", 10 * gigabyte, options)
    bound = parse_memory(options["memory"])
    assert bound is not None
    assert total == again <= bound
    assert abs(large - small) <= 0.05 * small, (small, large)
    assert large <= bound + BASE, (large, total)
    # A sum that is far above what is taken would be no sum.
    assert total <= 1.5 * large, (large, total)
