from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from shardio.format.framing import frame_footer
from shardio.format.layout import RecordLayout

# Reads a set and prints the peak of the anonymous memory: what the process owns, in kB. Pages of
# files do not count, since the kernel takes them back when it likes.
_READ = """
import sys
from reader import open_shards

def owned():
    for line in open("/proc/self/status"):
        if line.startswith("RssAnon"):
            return int(line.split()[1])

shards = open_shards(sys.argv[1], shape=(32, 128, 3))
peak = count = 0
for step, (x, ys) in enumerate(shards.batches(128, drop_remainder=False)):
    count += len(x)
    if step % 20 == 0:
        peak = max(peak, owned())
print(len(shards), count, peak)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_set(tmp_path: Path) -> None:
    layout = RecordLayout(32 * 128 * 3, ("y0", "y1", "y2", "y3"))
    records = 10_000
    tails = layout.tails(np.zeros((records, 4), dtype=np.int64), np.arange(records))
    pixels = np.random.default_rng(0).integers(0, 256, layout.image_bytes, np.uint8).tobytes()
    shard = tmp_path / "one.tfrecord"
    with shard.open("wb") as file:
        for tail in tails:
            data = layout.prefix + pixels + tail.tobytes()
            file.write(layout.head[:12] + data + frame_footer(data))
    peaks = []
    for links in (10, 100):
        folder = tmp_path / str(links)
        folder.mkdir()
        for index in range(links):
            os.link(shard, folder / f"train-{index:05d}-of-{links:05d}.tfrecord")
        done = subprocess.run(
            [sys.executable, "-c", _READ, f"{folder}/*.tfrecord"],
            capture_output=True,
            text=True,
            check=True,
        )
        length, count, peak = map(int, done.stdout.split())
        assert length == count == links * records
        peaks.append(peak)
    assert abs(peaks[1] - peaks[0]) <= 0.05 * peaks[0], peaks
