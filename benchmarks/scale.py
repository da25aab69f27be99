"""What a large set on many machines asks of memory, storage and caches: computed, and checked here.

    python benchmarks/scale.py [--records 1_000_000_000] [--machines 64] [--gpus 256] [--rate 5000]
    python benchmarks/scale.py --check [--hdfs]

The orders are pure functions of the position, so what each of 256 processes reads in an epoch of a
billion records can be computed without a shard: by the order's own code, for some of the processes.
A GPU takes `--rate` images a second, of 32x128x3 and four labels, `--batch` at once.

--check makes a small set, reads an epoch of it by several processes' streams through a file system
that counts, and holds bytes, requests and files opened against what is computed for it; then the
same with a cache that keeps a part of the set. --hdfs counts the NameNode's calls, too.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

# For the examples.
sys.path.insert(1, str(Path(__file__).resolve().parents[1]))

import fsspec
import made_shards
import numpy as np
from fsspec.implementations.local import LocalFileSystem

from reader import ShardSet, open_shards
from reader.batching.batches import PIPELINE
from reader.batching.memory import Sizes
from reader.batching.options import BatchOptions
from reader.files.open_files import MAX_OPEN
from reader.order.shuffle_quality import window_quality
from reader.order.window import WindowOrder
from shardio.format.label import Label
from shardio.format.layout import RecordLayout
from shardio.sizes import in_words, parse_bytes

LABELS = tuple(Label(f"y{head}", 21_000) for head in range(4))
_PIECE = 1 << 20
# Hadoop counts anew that often.
_JMX_SECONDS = 11
LAYOUT = RecordLayout(32 * 128 * 3, tuple(label.name for label in LABELS))
# Processes whose whole epoch is computed; all get the same but for chance.
_SAMPLED = 4


@dataclass(frozen=True)
class Job:
    """A training job: a set of `shards` equal files, and `world` processes that read it."""

    records: int
    stride: int
    shards: int
    world: int
    batch: int
    block: int
    window: int

    @property
    def size(self) -> int:
        """Bytes of all shards."""
        return self.records * self.stride

    @property
    def blocks(self) -> int:
        """Blocks of the set."""
        return -(-self.records // self.block)


@dataclass(frozen=True)
class Reads:
    """What a process reads in an epoch: records it gets, blocks, bytes, pieces; files opened."""

    records: int
    blocks: int
    bytes: int
    pieces: int
    opens: int


def reads_of(job: Job, rank: int, epoch: int = 0) -> Reads:
    """Compute what a process reads from the source in an epoch of the order `window`."""
    lanes = job.world
    order = WindowOrder(job.records, 0, job.block, job.window, lanes, 1)
    step = job.batch * job.world
    end = job.records // step * step  # drop_remainder
    records = 0
    touched: set[int] = set()
    # In the tail, which all lanes share, it depends on the step what a process gets.
    tail = max(0, end - 2 * lanes * job.block) // step * step
    starts = [*range(0, tail, max(1, _PIECE // job.batch) * step), *range(tail, end + 1, step)]
    for start, stop in itertools.pairwise(starts):
        ids = order.share(epoch, start, stop, rank, job.world)
        records += len(ids)
        touched.update(np.unique(ids // job.block).tolist())
    blocks = np.fromiter(touched, np.int64)
    firsts = blocks * job.block
    lasts = np.minimum(firsts + job.block, job.records)
    # A block that reaches from a shard into the next one is read in two pieces.
    bounds = np.array([job.records * number // job.shards for number in range(job.shards + 1)])
    of_first = np.searchsorted(bounds, firsts, side="right") - 1
    of_last = np.searchsorted(bounds, lasts - 1, side="right") - 1
    files = len(np.union1d(of_first, of_last))
    pieces = int((of_last - of_first + 1).sum())
    # Blocks come in random order, and a process keeps so many files open.
    opens = files if files <= MAX_OPEN else round(pieces * (1 - MAX_OPEN / files))
    # A shard's first and last record are looked at when it is first read.
    count = int((lasts - firsts).sum()) + 2 * files
    return Reads(records, len(blocks), count * job.stride, pieces + 2 * files, opens)


def planned(job: Job, memory: int | None) -> tuple[Job, int]:
    """Return the job with the block and window that `memory` allows, and what a process owns."""
    options = BatchOptions(
        batch_size=job.batch,
        shuffle="window",
        dtype="uint8",
        memory=memory,
        worker=(0, job.world),
    )
    plan = Sizes(job.records, LAYOUT, LABELS, PIPELINE).plan(options)
    return replace(job, block=plan.block, window=plan.window), plan.total


def cached_traffic(job: Job, machines: int, cache: int, epochs: int) -> list[tuple[float, float]]:
    """Compute bytes from the source over all epochs, with a cache of `cache` on each machine.

    Returns (without, with) after each epoch. A machine copies shards until its cache is full; in
    the first epoch it reads all else directly, later what it does not keep. Its processes get
    records of all shards, so a cache of a part of the set answers that part of its reads.
    """
    kept = min(job.size, cache // (job.size // job.shards) * (job.size // job.shards))
    share = kept / job.size
    totals, with_cache = [], float(job.size + machines * kept)
    for epoch in range(1, epochs + 1):
        totals.append((float(epoch * job.size), with_cache))
        with_cache += job.size * (1 - share)
    return totals


def simulate(options: argparse.Namespace) -> None:
    """Print what a job at scale asks for."""
    stride = LAYOUT.stride
    shards = -(-options.records * stride // options.shard_size)
    job = Job(options.records, stride, shards, options.gpus, options.batch, 1, 1)
    per_machine = options.gpus // options.machines
    demand = options.gpus * options.rate
    seconds = job.records / demand
    print(
        f"{job.records:,} records of {stride:,} bytes, {job.size / 1e12:.1f} TB, in {shards:,} "
        f"shards; {options.machines} machines, {options.gpus} GPUs, {options.rate:,} images/s "
        "each\n"
        f"an epoch: {seconds / 60:.0f} minutes, {demand * stride / 1e9:.1f} GB/s in all, "
        f"{demand * stride / options.machines / 1e6:,.0f} MB/s a machine\n"
    )
    print(
        f"{'memory':>8} {'owned':>8} {'window':>6} {'blocks a batch':>14} {'of exact':>8} "
        f"{'bytes read':>10} {'requests/s':>10} {'opens':>7} {'opens/s':>8}"
    )
    for memory in (None, 500_000_000, 1_000_000_000, 4_000_000_000):
        planned_job, owned = planned(job, memory)
        ranks = np.linspace(0, job.world - 1, _SAMPLED).astype(int).tolist()
        found = [reads_of(planned_job, rank) for rank in ranks]
        mean = {
            key: float(np.mean([vars(reads)[key] for reads in found])) for key in vars(found[0])
        }
        quality = window_quality(
            job.records, job.batch * job.world, planned_job.block, planned_job.window, job.world
        )
        print(
            f"{'usual' if memory is None else in_words(memory):>8} {in_words(owned):>8} "
            f"{planned_job.window:>6} {quality.mixed:>14,.0f} {quality.ratio:>8.2f} "
            f"{mean['bytes'] / (mean['records'] * stride):>10.4f} "
            f"{mean['pieces'] * job.world / seconds:>10,.0f} {mean['opens']:>7,.0f} "
            f"{mean['opens'] * job.world / seconds:>8,.0f}"
        )
    print(
        "\nblocks a batch: those that a step of all processes mixes, and its share of an exact "
        "shuffle's;\nbytes read: over the bytes of the records that came; opens: files that "
        "a process opens in an epoch\n"
    )
    print(f"{'cache a machine':>15} {'fill':>9} {'an epoch reads':>14} {'pays after':>12}")
    for cache in (0, job.size // 64, job.size // 8, job.size // 2, job.size):
        totals = cached_traffic(job, options.machines, cache, 1_000)
        pays = next((n for n, (without, with_) in enumerate(totals, 1) if with_ < without), None)
        later = totals[-1][1] - totals[-2][1]
        print(
            f"{cache / 1e12:>12.2f} TB {(totals[0][1] - job.size) / 1e12:>6.1f} TB "
            f"{later / 1e12:>11.2f} TB {f'{pays} epochs' if pays else 'never':>12}"
        )
    print(f"\na machine has {per_machine} processes, which share its cache")


class CountedFiles(LocalFileSystem):  # type: ignore[misc]
    """Local files as a server would have them; counts what is opened, and read."""

    protocol: ClassVar[str] = "shardio-counted"
    counts: ClassVar[Counter[str]] = Counter()
    lock: ClassVar[threading.Lock] = threading.Lock()

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return "/" + path.removeprefix(f"{cls.protocol}://").strip("/")

    def _open(self, path: str, *args: Any, **options: Any) -> Any:
        file = super()._open(path, *args, **options)
        if path.endswith(".tfrecord"):
            self._add("opened", 1)
            read = file.f.read

            def counted(size: int = -1) -> bytes:
                data: bytes = read(size)
                self._add("pieces", 1)
                self._add("bytes", len(data))
                return data

            file.read = counted
        return file

    def _add(self, name: str, number: int) -> None:
        with self.lock:
            self.counts[name] += number


def streams(shards: ShardSet, job: Job) -> Iterator[Reads]:
    """Read an epoch by each process's stream; yields what the file system counted."""
    for rank in range(job.world):
        CountedFiles.counts.clear()
        with shards.batches(
            job.batch, shuffle="window", dtype="uint8", worker=(rank, job.world),
            block=job.block, window=job.window,
        ) as stream:  # fmt: skip
            records = sum(len(x) for x, _ in stream)
        counts = CountedFiles.counts
        yield Reads(records, 0, counts["bytes"], counts["pieces"], counts["opened"])


def check(options: argparse.Namespace) -> None:
    """Hold what is computed against real streams; raises SystemExit where they differ."""
    fsspec.register_implementation(CountedFiles.protocol, CountedFiles, clobber=True)
    with tempfile.TemporaryDirectory(dir=options.folder) as scratch:
        folder = Path(scratch) / "set"
        manifest = made_shards.make(folder, 16_384, shards=16)
        stride = manifest.layout.stride
        job = Job(16_384, stride, 16, 4, 32, block=48, window=4)
        source = f"{CountedFiles.protocol}://{folder}"
        print(f"{job.records:,} records in {job.shards} shards, {job.world} processes")
        wrong = 0
        for rank, found in enumerate(streams(open_shards(source), job)):
            said = reads_of(job, rank)
            print(
                f"process {rank}: {found.bytes:,} bytes, {found.pieces} requests, {found.opens} "
                f"opens; computed {said.bytes:,}, {said.pieces}, {said.opens}"
            )
            # Two threads may open a shard at once; neighbouring blocks may come in one piece.
            wrong += found.records != said.records
            wrong += found.opens > said.opens + 2
            wrong += abs(found.bytes / said.bytes - 1) > 0.002
            wrong += abs(found.pieces / said.pieces - 1) > 0.05
        wrong += check_cache(job, source, folder, Path(scratch) / "cache")
        if options.hdfs:
            count_calls(job, folder, Path(scratch))
    if wrong:
        raise SystemExit(f"{wrong} figures are not those computed")


def check_cache(job: Job, source: str, folder: Path, cache: Path) -> bool:
    """Fill a cache that keeps a part of the set; compare what a later epoch reads."""
    limit = int(job.size * 0.4)
    shards = open_shards(source, cache=str(cache), cache_limit=limit)
    size = job.size // job.shards
    wanted = min(limit // size, job.shards)
    with shards.batches(job.batch, shuffle="window", dtype="uint8", epochs=None) as stream:
        end = time.monotonic() + 120
        while len(list(cache.rglob("*.tfrecord"))) < wanted and time.monotonic() < end:
            next(stream)
    time.sleep(2)  # it looks for copies every half a second
    kept = len(list(cache.rglob("*.tfrecord")))
    found = sum(reads.bytes for reads in streams(shards, job))
    shares = [reads_of(job, rank).bytes for rank in range(job.world)]
    said = sum(shares) * (1 - kept / job.shards)
    print(
        f"a cache of 0.4 of the set keeps {kept} of {job.shards} shards; a later epoch reads "
        f"{found:,} bytes from the source, computed {said:,.0f}"
    )
    return abs(found / said - 1) > 0.02


def count_calls(job: Job, folder: Path, scratch: Path) -> None:
    """Print the NameNode's calls for an epoch of a process from a real HDFS."""
    from bare_hdfs import upload

    from examples.hdfs.cluster import Cluster
    from examples.hdfs.configuration import ClusterOptions

    with Cluster(scratch / "hdfs", ClusterOptions()) as cluster:
        url = f"{cluster.url}/shards"
        upload(folder, job.records, url)
        before = calls(cluster)
        shards = open_shards(url)
        opened = calls(cluster)
        with shards.batches(job.batch, shuffle="window", dtype="uint8", block=48) as stream:
            count = sum(len(x) for x, _ in stream)
        after = calls(cluster)
    print(
        f"HDFS: opening {job.shards} shards {opened - before} calls of the NameNode, an epoch of "
        f"{count:,} records {after - opened}"
    )


def calls(cluster: Any) -> int:
    """Return how many calls the NameNode has answered, those of the DataNode among them."""
    time.sleep(_JMX_SECONDS)
    bean = "Hadoop:service=NameNode,name=RpcActivityForPort*"
    with urllib.request.urlopen(f"http://{cluster.web_address('nn0')}/jmx?qry={bean}") as answer:
        return sum(int(found["RpcProcessingTimeNumOps"]) for found in json.load(answer)["beans"])


def main() -> None:
    """Simulate, or check."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--records", type=int, default=1_000_000_000)
    parser.add_argument("--machines", type=int, default=64)
    parser.add_argument("--gpus", type=int, default=256)
    parser.add_argument("--rate", type=int, default=5_000, help="images a second of a GPU")
    parser.add_argument("--batch", type=int, default=256, help="images of a GPU's batch")
    parser.add_argument("--shard-size", type=parse_size, default=1_000_000_000)
    parser.add_argument("--check", action="store_true", help="hold it against streams here")
    parser.add_argument("--hdfs", action="store_true", help="with --check: count calls of HDFS")
    parser.add_argument("--folder", help="where --check has its files")
    options = parser.parse_args()
    (check if options.check else simulate)(options)


def parse_size(text: str) -> int:
    """Parse a size for argparse."""
    return parse_bytes(text, "size")


if __name__ == "__main__":
    main()
