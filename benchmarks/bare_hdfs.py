"""A real HDFS with shards on it, and its client's own loops: what the benchmarks compare with."""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import made_shards
from rounds import Way

from examples.hdfs.cluster import Cluster
from examples.hdfs.configuration import ClusterOptions
from shardio.format.naming import MANIFEST
from shardio.storage import FileInfo, storage_for
from shardio.storage.paths import join, name_of

MIB = 1 << 20
PIECE = 4 * MIB
Packets = Iterable[bytes]


def timed(count: Callable[[], float]) -> float:
    """Return items a second."""
    start = time.perf_counter()
    return count() / (time.perf_counter() - start)


def bare(url: str, infos: list[FileInfo], threads: int) -> float:
    """Read with hdfs-native alone, some pieces at once; returns MiB."""
    from hdfs_native import Client

    parts = urlsplit(url)
    client = Client(f"hdfs://{parts.netloc}")
    with ThreadPoolExecutor(threads) as pool:
        for info in infos:
            file = client.read(urlsplit(info.path).path)
            waiting = []
            for start in range(0, info.size, PIECE):
                size = min(PIECE, info.size - start)
                waiting.append(pool.submit(file.read_range, start, size))
                if len(waiting) == threads:
                    waiting.pop(0).result()
            for piece in waiting:
                piece.result()
    return sum(info.size for info in infos) / MIB


def bare_pieces(url: str, infos: list[FileInfo], threads: int) -> float:
    """Read with hdfs-native alone, some pieces at once, each packet by packet; returns MiB."""
    from hdfs_native import Client

    parts = urlsplit(url)
    client = Client(f"hdfs://{parts.netloc}")

    def read(piece: tuple[Any, int, int]) -> int:
        file, start, size = piece
        return sum(map(len, file.read_range_stream(start, size)))

    pieces = []
    for info in infos:
        file = client.read(urlsplit(info.path).path)
        for start in range(0, info.size, PIECE):
            pieces.append((file, start, min(PIECE, info.size - start)))
    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(read, pieces)) / MIB


def count(_: FileInfo, packets: Packets) -> int:
    """Count the bytes."""
    return sum(map(len, packets))


def digested(_: FileInfo, packets: Packets) -> int:
    """Compute their SHA-256."""
    digest, size = hashlib.sha256(), 0
    for packet in packets:
        digest.update(packet)
        size += len(packet)
    return size


def written(folder: str, info: FileInfo, packets: Packets) -> int:
    """Write them to a file in `folder`, durably."""
    with open(join(folder, name_of(info.path)), "wb", buffering=0) as file:
        size = sum(file.write(packet) for packet in packets)
        os.fsync(file.fileno())
    return size


def bare_streams(
    url: str, infos: list[FileInfo], threads: int, take: Callable[[FileInfo, Packets], int] = count
) -> float:
    """Read with hdfs-native alone, some files at once, packet by packet; returns MiB.

    `take` gets the packets of a file, and returns how many bytes they were.
    """
    from hdfs_native import Client

    parts = urlsplit(url)
    client = Client(f"hdfs://{parts.netloc}")

    def read(info: FileInfo) -> int:
        file = client.read(urlsplit(info.path).path)
        return take(info, file.read_range_stream(0, info.size))

    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(read, infos)) / MIB


def bare_reads(url: str, infos: list[FileInfo]) -> list[Way]:
    """Return the ways to read with hdfs-native alone; which is fastest depends on the machine."""
    works = {
        "2 files as streams": partial(bare_streams, url, infos, 2),
        "4 files as streams": partial(bare_streams, url, infos, 4),
        "4 pieces of 4 MiB as streams": partial(bare_pieces, url, infos, 4),
        "4 pieces of 4 MiB": partial(bare, url, infos, 4),
    }
    return [Way(f"hdfs-native, {name}", partial(timed, work)) for name, work in works.items()]


def upload(folder: Path, count: int, url: str) -> None:
    """Write a set of shards to HDFS."""
    manifest = made_shards.make(folder, count)
    for name in [*(shard.file for shard in manifest.shards), MANIFEST]:
        path = join(url, name)
        with storage_for(path).publish(path, attempt="bench") as file:
            file.write((folder / name).read_bytes())


@contextmanager
def shards_on_hdfs(url: str | None, folder: Path, records: int) -> Iterator[str]:
    """Give a folder of shards on HDFS: `url`, or one of a real HDFS that is started for it."""
    with ExitStack() as stack:
        if url is None:
            scratch = stack.enter_context(tempfile.TemporaryDirectory(dir=folder.parent))
            cluster = stack.enter_context(Cluster(Path(scratch), ClusterOptions()))
            url = f"{cluster.url}/shards"
            upload(folder, records, url)
        yield url
