"""How fast shards are read from HDFS, cached, staged and written, against its client's own loops.

    python benchmarks/hdfs.py [--records 262144] [--rounds 5] [--costs] [--url hdfs://host:8020/x]

Without --url a real HDFS of one DataNode is started here, and its files are in the page cache. The
digests that `stage` compares and the CRCs that the reader compares are part of the work.
"""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from queue import SimpleQueue
from urllib.parse import urlsplit

# For the examples.
sys.path.insert(1, str(Path(__file__).resolve().parents[1]))

from bare_hdfs import (
    MIB,
    PIECE,
    bare_pieces,
    bare_reads,
    bare_streams,
    digested,
    shards_on_hdfs,
    timed,
    written,
)
from rounds import Way, measure, table

from reader import ShardSet, open_shards
from reader.batching.options import Shuffle
from reader.commands.staging import Staging
from shardio.measure.rounds import interleaved
from shardio.storage import FileInfo, RangeReader, storage_for
from shardio.storage.paths import join

ROOT = Path(__file__).resolve().parents[1]


def batches(url: str, shuffle: Shuffle, verify: bool) -> float:
    """Read an epoch of batches; returns MiB of shards."""
    return epoch(open_shards(url), shuffle, verify)


def epoch(shards: ShardSet, shuffle: Shuffle, verify: bool, epochs: int = 1) -> float:
    """Read an epoch of batches of an open set, or several; returns MiB of shards."""
    count = 0
    for x, _ in shards.batches(128, shuffle=shuffle, dtype="uint8", verify=verify, epochs=epochs):
        count += len(x)
    return count * shards.layout.stride / MIB


def some_exact(url: str) -> float:
    """Read a hundred batches in exact order, a request for each record; returns MiB of shards."""
    shards = open_shards(url)
    with shards.batches(128, shuffle="exact", dtype="uint8", epochs=None) as stream:
        count = sum(len(x) for x, _ in islice(stream, 100))
    return count * shards.layout.stride / MIB


def first_epoch(url: str, folder: Path) -> float:
    """Read an epoch with a new cache in a folder that holds nothing else; returns MiB of shards."""
    # That of the round before may have been filled until now.
    for old in folder.iterdir():
        shutil.rmtree(old)
    cache = tempfile.mkdtemp(dir=folder)
    return epoch(open_shards(url, cache=cache), "window", True)


def compare_cached(url: str, folder: Path, rounds: int) -> None:
    """Measure later epochs from a cache against the same shards on the local disk."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        Staging(url, f"{place}/staged", None).run(lambda size: None)
        local, cached = open_shards(f"{place}/staged"), open_shards(url, cache=f"{place}/cache")
        epoch(cached, "window", True)
        while cached.cached < len(cached.shards):
            time.sleep(0.1)
        ways = [
            way(f"{name}, {order}", partial(epoch, shards, order, True, 4))
            for order in ORDERS
            for name, shards in (("the same shards on local disk", local), ("from a cache", cached))
        ]
        rates = measure(ways, rounds)
    for one, other in (ways[:2], ways[2:]):
        pair = {each.name: rates[each.name] for each in (one, other)}
        print("\n" + table(pair, one.name, "MiB/s"))


def staged(url: str, folder: Path) -> float:
    """Stage to a new folder; returns MiB."""
    with tempfile.TemporaryDirectory(dir=folder) as to:
        staging = Staging(url, to, None)
        staging.run(lambda size: None)
    return staging.size / MIB


def written_anew(url: str, infos: list[FileInfo], folder: Path) -> float:
    """Read 4 files at once, and write them to new ones; returns MiB."""
    # New ones: to write over old ones takes memory that the kernel has at hand, and a virtual
    # machine's host need not give.
    with tempfile.TemporaryDirectory(dir=folder) as to:
        return bare_streams(url, infos, 4, partial(written, to))


def into_memory(infos: list[FileInfo], threads: int) -> float:
    """Read pieces of 4 MiB, some at once, into memory that is used again; returns MiB."""
    memories: SimpleQueue[memoryview] = SimpleQueue()
    for _ in range(threads):
        memories.put(memoryview(bytearray(PIECE)))

    def read(reader: RangeReader, start: int, size: int) -> int:
        memory = memories.get()
        try:
            return reader.read_into(start, memory[:size])
        finally:
            memories.put(memory)

    with ThreadPoolExecutor(threads) as pool:
        reads = []
        for info in infos:
            reader = storage_for(info.path).open_ranges(info.path)
            for start in range(0, info.size, PIECE):
                reads.append(pool.submit(read, reader, start, min(PIECE, info.size - start)))
        return sum(done.result() for done in reads) / MIB


def show_costs(url: str, infos: list[FileInfo], folder: Path, rounds: int) -> None:
    """Print the processor time of this process a MiB, and of what `stage` cannot do without."""
    works: dict[str, Callable[[], float]] = {
        "read, 4 files as streams": partial(bare_streams, url, infos, 4),
        "read, 4 pieces of 4 MiB": partial(bare_pieces, url, infos, 4),
        "the same into memory, by us": partial(into_memory, infos, 4),
        "read, SHA-256 computed": partial(bare_streams, url, infos, 4, digested),
        "read, written and synced": partial(written_anew, url, infos, folder),
        "stage": partial(staged, url, folder),
        "batches, window": partial(batches, url, "window", True),
        "batches, none": partial(batches, url, "none", True),
    }

    def cost(work: Callable[[], float]) -> tuple[float, float]:
        begun = os.times()
        size = work()
        ended = os.times()
        return (ended[0] - begun[0]) * 1000 / size, (ended[1] - begun[1]) * 1000 / size

    costs = interleaved({name: partial(cost, work) for name, work in works.items()}, rounds)
    print("\nprocessor time of the client, ms a MiB (medians): all, user, system; least of all")
    for name, values in costs.items():
        user, system = (statistics.median(part) for part in zip(*values, strict=True))
        both = [sum(value) for value in values]
        all_ = statistics.median(both)
        print(f"{name:27} {all_:6.2f} {user:6.2f} {system:6.2f} {min(both):6.2f}")


def written_to_disk(files: list[bytes], folder: Path) -> float:
    """Write the shards to local files, durably; returns MiB."""
    with tempfile.TemporaryDirectory(dir=folder) as to:
        for number, data in enumerate(files):
            with open(f"{to}/{number}", "wb", buffering=0) as file:
                for start in range(0, len(data), PIECE):
                    file.write(data[start : start + PIECE])
                os.fsync(file.fileno())
    return sum(map(len, files)) / MIB


def written_bare(files: list[bytes], url: str) -> float:
    """Write the shards with hdfs-native alone; returns MiB."""
    from hdfs_native import Client, WriteOptions

    parts = urlsplit(url)
    client = Client(f"hdfs://{parts.netloc}")
    for number, data in enumerate(files):
        path = f"{parts.path}/bare-{number}"
        with client.create(path, WriteOptions(overwrite=True)) as file:
            for start in range(0, len(data), PIECE):
                file.write(data[start : start + PIECE])
    client.delete(parts.path, True)
    return sum(map(len, files)) / MIB


def published(files: list[bytes], url: str, piece: int) -> float:
    """Write the shards as the converter does, whole or not at all; returns MiB."""
    for number, data in enumerate(files):
        path = join(url, f"ours-{number}")
        with storage_for(path).publish(path, attempt="bench") as file:
            for start in range(0, len(data), piece):
                file.write(data[start : start + piece])
    storage_for(url).delete(url)
    return sum(map(len, files)) / MIB


def built_locally(files: list[bytes], url: str, folder: Path) -> float:
    """Build each shard in a local file first, then write it whole; returns MiB."""
    for number, data in enumerate(files):
        path = join(url, f"built-{number}")
        with tempfile.TemporaryFile(dir=folder) as local:
            for start in range(0, len(data), RECORD):
                local.write(data[start : start + RECORD])
            local.seek(0)
            with storage_for(path).publish(path, attempt="bench") as file:
                while piece := local.read(PIECE):
                    file.write(piece)
    storage_for(url).delete(url)
    return sum(map(len, files)) / MIB


_READ = """
import sys
from reader import open_shards

def owned():
    for line in open("/proc/self/status"):
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024

shards = open_shards(sys.argv[1])
base, peak, size = owned(), 0, 0
batches = shards.batches(128, epochs=None, memory="200MB", dtype="uint8")
for step, (x, _) in enumerate(batches):
    size += len(x) * shards.layout.stride
    if step % 20 == 0:
        peak = max(peak, owned())
    if size > 10e9:
        break
print(base, peak, batches.memory.total)
"""


def show_memory(url: str) -> None:
    """Print what a process owns at most while it reads 10 GB."""
    done = subprocess.run(
        [sys.executable, "-c", _READ, url],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    base, peak, planned = (int(word) / 1e6 for word in done.stdout.split())
    print(
        f'\nreading 10 GB, window, memory="200MB": at most {peak:.0f} MB owned (RssAnon), '
        f"{base:.0f} MB of it before the first batch; the reader planned {planned:.0f} MB"
    )


def way(name: str, work: Callable[[], float]) -> Way:
    """Return a timed way."""
    return Way(name, partial(timed, work))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=262_144)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--url", help="a folder with shards, on an HDFS that runs")
    parser.add_argument("--folder", type=Path, default=Path("data/bench"))
    parser.add_argument("--costs", action="store_true", help="processor time only")
    arguments = parser.parse_args()
    with shards_on_hdfs(arguments.url, arguments.folder, arguments.records) as url:
        if arguments.costs:
            show_costs(url, shards_in(url), arguments.folder, arguments.rounds)
        else:
            compare(url, arguments.folder, arguments.rounds)


def shards_in(url: str) -> list[FileInfo]:
    """List the shards of a folder."""
    return [info for info in storage_for(url).list(url) if info.path.endswith(".tfrecord")]


def compare(url: str, folder: Path, rounds: int) -> None:
    """Measure reading, caching, staging, and writing."""
    infos = shards_in(url)
    bare = bare_reads(url, infos)
    ways = [way(f"batches, {order}", partial(batches, url, order, True)) for order in ORDERS]
    ways.append(way("batches, exact", partial(some_exact, url)))
    files = [_whole(info) for info in infos[:4]]
    with tempfile.TemporaryDirectory(dir=folder) as place:
        filled = partial(first_epoch, url, Path(place))
        ways.append(way("batches, window, and a cache is filled", filled))
        ways.append(way("stage", partial(staged, url, folder)))
        ways.append(way("the disk, written and synced", partial(written_to_disk, files, folder)))
        rates = measure(bare + ways, rounds)
    best = max((one.name for one in bare), key=lambda name: statistics.median(rates[name]))
    print(table(rates, best, "MiB/s"))
    show_costs(url, infos, folder, rounds)
    compare_cached(url, folder, rounds)
    there = f"{url}-written-{secrets.token_hex(6)}"
    ways = [
        way("written, hdfs-native", partial(written_bare, files, there)),
        way("written, 4 MiB at a time", partial(published, files, there, PIECE)),
        way("built in a local file, then written", partial(built_locally, files, there, folder)),
        way("written, 12 KiB at a time", partial(published, files, there, RECORD)),
    ]
    print("\n" + table(measure(ways, rounds), ways[0].name, "MiB/s"))
    show_memory(url)


ORDERS: tuple[Shuffle, ...] = ("window", "none")
RECORD = 12_412


def _whole(info: FileInfo) -> bytes:
    with storage_for(info.path).open_stream(info.path) as stream:
        data = bytearray()
        while piece := stream.read(PIECE):
            data += piece
    return bytes(data)


if __name__ == "__main__":
    main()
