"""How fast a mounted HDFS is read: ours against the bare client and against rclone's mount.

    python benchmarks/mount.py [--records 65536] [--rounds 5] [--url hdfs://host:8020/shards]

Without --url a real HDFS of one DataNode is started here. All ways read the same shards, in turn;
every round of a mount is a fresh one, so that the kernel has nothing of it in its cache.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# For the examples.
sys.path.insert(1, str(Path(__file__).resolve().parents[1]))

from bare_hdfs import MIB, bare_reads, shards_on_hdfs, timed
from rounds import Way, measure, table

from shardio.storage import storage_for

ROOT = Path(__file__).resolve().parents[1]
RECORD = 12 << 10
# Enough for a second or two.
READS = (4000, 400)

Mount = Callable[[str], AbstractContextManager[Path]]


@contextmanager
def ours(url: str) -> Iterator[Path]:
    """Mount with shardio."""
    with tempfile.TemporaryDirectory() as point:
        command = [sys.executable, "-m", "reader"]
        subprocess.run(
            [*command, "mount", url, point, "--daemon"], cwd=ROOT, check=True, stdout=sys.stderr
        )
        try:
            yield Path(point)
        finally:
            show_memory(url)
            subprocess.run([*command, "unmount", point], cwd=ROOT, check=True, stdout=sys.stderr)


@contextmanager
def rclone(url: str) -> Iterator[Path]:
    """Mount with rclone, without its cache."""
    parts = urlsplit(url)
    remote = f":hdfs,namenode='{parts.netloc}',username=root:{parts.path}"
    with tempfile.TemporaryDirectory() as point:
        options = ["--read-only", "--vfs-cache-mode", "off", "--daemon"]
        subprocess.run(["rclone", "mount", remote, point, *options], check=True)
        try:
            while not os.path.ismount(point):
                time.sleep(0.05)
            yield Path(point)
        finally:
            subprocess.run(["fusermount3", "-u", point], check=True)


def show_memory(url: str) -> None:
    """Print the most memory that the mount's process ever had."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().split(b"\0")
            status = (folder / "status").read_text()
        except OSError:
            continue
        if b"mount" in command and url.encode() in command:
            peak = re.search(r"VmHWM:\s*(\d+)", status)
            print(f"memory of the mount: {int(peak[1]) >> 10 if peak else 0} MiB", file=sys.stderr)


def cat(point: Path) -> float:
    """Read all shards with a program that knows nothing of this; returns MiB."""
    paths = sorted(point.glob("*.tfrecord"))
    subprocess.run(["cat", *paths], check=True, stdout=subprocess.DEVNULL)
    return sum(path.stat().st_size for path in paths) / MIB


def records(point: Path) -> float:
    """Read all shards with TensorFlow's own dataset; returns MiB."""
    import tensorflow as tf

    paths = sorted(map(str, point.glob("*.tfrecord")))
    dataset = tf.data.TFRecordDataset(paths, buffer_size=8 * MIB, num_parallel_reads=2)
    count = sum(int(tf.shape(batch)[0]) for batch in dataset.batch(1024))
    assert count
    return sum(os.path.getsize(path) for path in paths) / MIB


def scattered(point: Path, *, threads: int, reads: int) -> float:
    """Read records at random; returns how many."""
    files = [os.open(path, os.O_RDONLY) for path in sorted(point.glob("*.tfrecord"))]
    sizes = [os.fstat(file).st_size for file in files]

    def work(seed: int) -> None:
        chosen = random.Random(seed)
        for _ in range(reads // threads):
            number = chosen.randrange(len(files))
            offset = chosen.randrange(sizes[number] // RECORD) * RECORD
            assert len(os.pread(files[number], RECORD, offset)) == RECORD

    try:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, range(threads)))
    finally:
        for file in files:
            os.close(file)
    return reads


def through(mount: Mount, url: str, work: Callable[[Path], float]) -> Callable[[], float]:
    """Return a run that mounts, measures, and unmounts."""

    def run() -> float:
        with mount(url) as point:
            return timed(lambda: work(point))

    return run


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=65_536)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--url", help="a folder with shards, on an HDFS that runs")
    parser.add_argument("--folder", type=Path, default=Path("data/bench"))
    arguments = parser.parse_args()
    for program, package in {"rclone": "rclone", "fusermount3": "fuse3"}.items():
        if shutil.which(program) is None:
            parser.exit(
                1, f"{program} is missing; please install: sudo apt-get install {package}\n"
            )
    with shards_on_hdfs(arguments.url, arguments.folder, arguments.records) as url:
        compare(url, arguments.rounds)


def compare(url: str, rounds: int) -> None:
    """Measure all ways to read a folder."""
    infos = [info for info in storage_for(url).list(url) if info.path.endswith(".tfrecord")]
    bare_ways = bare_reads(url, infos)
    mounts: dict[str, Mount] = {"our mount": ours, "rclone mount": rclone}
    ways = [Way(f"cat, {name}", through(mount, url, cat)) for name, mount in mounts.items()]
    ways += [
        Way(f"TFRecordDataset, {name}", through(mount, url, records))
        for name, mount in mounts.items()
    ]
    rates = measure(bare_ways + ways, rounds)
    best = max((way.name for way in bare_ways), key=lambda name: statistics.median(rates[name]))
    print(table(rates, best, "MiB/s"))
    for threads in (1, 4):
        ways = [
            Way(
                f"12 KiB, {threads} at once, {name}",
                through(mount, url, partial(work, reads=reads)),
            )
            for work in (partial(scattered, threads=threads),)
            for (name, mount), reads in zip(mounts.items(), READS, strict=True)
        ]
        print("\n" + table(measure(ways, rounds), ways[-1].name, "reads/s"))


if __name__ == "__main__":
    main()
