"""How long 10,000 shards take: to be made, listed and opened, and until a first batch is there.

    python benchmarks/many_shards.py [--shards 10000] [--rounds 5] [--hdfs] [--convert]

Each round is a process of its own, with an empty cache folder; imports are not part of it. Before
the first one the set is in the page cache. Beside the seconds are those of the process's CPU, which
others on the machine do not add to. --hdfs puts the same files on a real HDFS on this machine.
--convert makes them of images of 8x8 in two processes, two for each shard, and says how much memory
the processes own at most.
"""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

# For the examples.
sys.path.insert(1, str(Path(__file__).resolve().parents[1]))

import made_shards
from PIL import Image

from reader import open_shards
from reader.batching.options import Shuffle
from shardio.format.transform import Transform
from shardio.measure.memory import SampledMemory
from shardio.storage import search, storage_for

_ROOT = Path(__file__).resolve().parents[1]
_RECORDS = 2
_UPLOADS = 32
_STEPS = ("list", "open", "first batch of 128", "all")


def once(url: str, shuffle: Shuffle) -> None:
    """Open a set and take a batch; prints the seconds of each step, and memory."""
    with SampledMemory() as memory:
        times = [_now()]
        search(f"{url}/*.tfrecord")
        times.append(_now())
        shards = open_shards(url)
        times.append(_now())
        with shards.batches(128, shuffle=shuffle, dtype="uint8") as stream:
            next(stream)
        times.append(_now())
    # Listing is a part of opening, and is measured alone for what it is.
    steps = [*itertools.pairwise(times), (times[1], times[-1])]
    for before, after in steps:
        print(*(end - start for start, end in zip(before, after, strict=True)), end=" ")
    print(memory.peak)


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def opened(url: str, rounds: int, where: str) -> None:
    """Measure rounds in new processes; prints medians."""
    for shuffle in ("exact", "window"):
        found: list[list[float]] = []
        for _ in range(rounds):
            with tempfile.TemporaryDirectory() as cache:
                command = [sys.executable, __file__, "--once", url, "--shuffle", shuffle]
                environment = {**os.environ, "XDG_CACHE_HOME": cache}
                said = subprocess.run(
                    command, check=True, env=environment, capture_output=True, text=True
                )
            found.append([float(word) for word in said.stdout.split()])
        medians = [statistics.median(values) for values in zip(*found, strict=True)]
        pairs = zip(medians[0:-1:2], medians[1:-1:2], strict=True)
        times = " | ".join(f"{seconds:.2f} ({cpu:.2f})" for seconds, cpu in pairs)
        print(f"| {where}, {shuffle} | {times} | {medians[-1] / 1e3:.0f} |", flush=True)


def converted(folder: Path, shards: int) -> None:
    """Make as many shards of small images; prints time and memory."""
    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    for number in range(100):
        Image.new("RGB", (8, 8), (number, 2 * number, 0)).save(images / f"{number}.png")
    rows = (f"images/{n % 100}.png,{n % 7}\n" for n in range(shards * _RECORDS))
    table = folder / "labels.csv"
    with table.open("w") as file:
        file.writelines(("path,y0\n", *rows))
    out = folder / "converted"
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, "-m", "converter", str(table), str(out), "--workers", "2"]
    begun = time.perf_counter()
    process = subprocess.Popen([*command, "--shards", str(shards)], cwd=_ROOT)
    peaks = {"converter": 0, "all": 0}
    ended = threading.Event()
    sampler = threading.Thread(target=_sample, args=(process.pid, peaks, ended))
    sampler.start()
    code = process.wait()
    ended.set()
    sampler.join()
    if code:
        raise SystemExit("the conversion failed")
    seconds = time.perf_counter() - begun
    own, total = (f"{peaks[name] / 1e3:.0f} MB" for name in ("converter", "all"))
    print(
        f"{shards:,} shards of {shards * _RECORDS:,} images in {seconds:.0f} s; RssAnon of the "
        f"converter {own}, of all its processes {total}",
        flush=True,
    )
    opened(str(out), 1, "converted")


def _upload(folder: Path, url: str) -> None:
    def put(path: Path) -> None:
        to = f"{url}/{path.name}"
        with storage_for(to).publish(to, attempt="bench") as file:
            file.write(path.read_bytes())

    with ThreadPoolExecutor(_UPLOADS) as pool:
        # A server takes some time for each, however small it is.
        list(pool.map(put, folder.iterdir()))


def _sample(pid: int, peaks: dict[str, int], ended: threading.Event) -> None:
    while not ended.wait(0.05):
        owned = {child: _owned(child) for child in (pid, *_below(pid))}
        peaks["converter"] = max(peaks["converter"], owned[pid])
        peaks["all"] = max(peaks["all"], sum(owned.values()))


def _below(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    found = [int(word) for word in text.split()]
    return found + [grandchild for child in found for grandchild in _below(child)]


def _owned(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("RssAnon")), 0)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--hdfs", action="store_true")
    parser.add_argument("--convert", action="store_true")
    parser.add_argument("--folder", type=Path, default=Path("data/bench-many"))
    parser.add_argument("--once", help=argparse.SUPPRESS)
    parser.add_argument("--shuffle", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.once:
        once(arguments.once, arguments.shuffle)
        return
    if arguments.convert:
        converted(arguments.folder, arguments.shards)
        return
    local = arguments.folder / "made"
    size = Transform(None, (8, 8))
    made_shards.make(local, arguments.shards * _RECORDS, arguments.shards, 1000, size)
    print(f"| {arguments.shards:,} shards | {', s (CPU) | '.join(_STEPS)}, s (CPU) | RssAnon, MB |")
    print("|---|---|---|---|---|---|", flush=True)
    opened(str(local), arguments.rounds, "local")
    if arguments.hdfs:
        from examples.hdfs.cluster import Cluster

        with ExitStack() as stack:
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            cluster = stack.enter_context(Cluster(scratch))
            _upload(local, f"{cluster.url}/many")
            opened(f"{cluster.url}/many", arguments.rounds, "HDFS")


if __name__ == "__main__":
    main()
