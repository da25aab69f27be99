"""How fast objects of 64 MB are read from S3 and written to it, against s3fs alone.

    python benchmarks/s3.py [--megabytes 512] [--rounds 5]

The server is moto_server on this machine, which `make test-s3` installs: it shares the cores with
its client, so that ratios count, and no rate. Its requests take milliseconds, which says nothing of
another server: there are no figures of small reads. For each request it reads the whole object, so
that pieces are slower than objects, whoever asks for them.
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

# For the examples, and the server of the tests.
sys.path.insert(1, str(Path(__file__).resolve().parents[1]))

import made_shards
from rounds import Way, measure, table, timed

from reader import open_shards
from reader.batching.options import Shuffle
from reader.commands.staging import Staging
from shardio.format.naming import MANIFEST
from shardio.storage import storage_for
from tests import started
from tests.s3.place import BUCKET, s3_files
from tests.s3.server import S3Server, environment

MIB = 1 << 20
OBJECT = 64 * MIB
_PIECE = 4 * MIB
_RANGES = "s3fs alone, 4 pieces of 4 MiB at once"
# A record, nearly, framing included.
_RECORD = 12_500
# As the converter writes.
_WRITTEN = 12 << 10


def bare_read(names: list[str], threads: int) -> int:
    """Read whole objects with s3fs alone; returns MiB."""
    files = s3_files()
    with ThreadPoolExecutor(threads) as pool:
        return sum(len(data) for data in pool.map(files.cat_file, names)) // MIB


def bare_ranges(names: list[str]) -> int:
    """Read pieces of 4 MiB with s3fs alone, four at once; returns MiB."""
    files = s3_files()
    pieces = [(name, start) for name in names for start in range(0, files.size(name), _PIECE)]

    def read(piece: tuple[str, int]) -> int:
        return len(files.cat_file(piece[0], start=piece[1], end=piece[1] + _PIECE))

    with ThreadPoolExecutor(4) as pool:
        return sum(pool.map(read, pieces)) // MIB


def bare_write(folder: str, data: bytes) -> int:
    """Write two objects with s3fs alone, each as a file; returns MiB."""
    for number in range(2):
        with s3_files().open(f"{folder}/{number}", "wb", block_size=16 * MIB) as file:
            for start in range(0, len(data), _WRITTEN):
                file.write(data[start : start + _WRITTEN])
    return 2 * len(data) // MIB


def write(folder: str, data: bytes) -> int:
    """Write two objects as the converter does; returns MiB."""
    for number in range(2):
        path = f"{folder}/{number}"
        with storage_for(path).publish(path, attempt=secrets.token_hex(6)) as file:
            for start in range(0, len(data), _WRITTEN):
                file.write(data[start : start + _WRITTEN])
    return 2 * len(data) // MIB


def epoch(url: str, shuffle: Shuffle) -> int:
    """Read an epoch of batches; returns MiB."""
    shards = open_shards(url)
    count = sum(len(x) for x, _ in shards.batches(128, shuffle=shuffle, dtype="uint8"))
    return count * shards.layout.stride // MIB


def stage(url: str, folder: Path) -> int:
    """Copy all shards to a disk, with digests and syncs; returns MiB."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        Staging(url, place, None).run(lambda size: None)
        return sum(path.stat().st_size for path in Path(place).iterdir()) // MIB


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=Path("data/bench-s3"))
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    started.mark()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as scratch:
        server = S3Server(Path(scratch), {"MOTO_S3_DEFAULT_MAX_KEYS": "1000"})
        try:
            os.environ.update(environment(server.url))
            compare(Path(scratch), arguments.megabytes, arguments.rounds)
        finally:
            server.stop()


def compare(scratch: Path, megabytes: int, rounds: int) -> None:
    """Measure reading and writing, each in turn with s3fs alone."""
    files = s3_files()
    files.mkdir(BUCKET)
    url = f"s3://{BUCKET}/shards"
    local = scratch / "shards"
    shards = max(1, megabytes * MIB // OBJECT)
    made_shards.make(local, shards * OBJECT // _RECORD, shards)
    for path in local.iterdir():
        files.put_file(str(path), f"{url}/{path.name}")
    names = sorted(name for name in files.ls(url) if not name.endswith(MANIFEST))
    reads: dict[str, Callable[[], int]] = {
        "s3fs alone, 1 object at once": partial(bare_read, names, 1),
        "s3fs alone, 4 objects at once": partial(bare_read, names, 4),
        _RANGES: partial(bare_ranges, names),
        "batches, as stored": partial(epoch, url, "none"),
        "batches, window": partial(epoch, url, "window"),
        "stage": partial(stage, url, scratch),
    }
    rates = measure([Way(name, timed(work)) for name, work in reads.items()], rounds)
    print(table(rates, _RANGES, "MiB/s"), flush=True)
    data = os.urandom(OBJECT)
    writes: dict[str, Callable[[], int]] = {
        "s3fs alone": partial(bare_write, f"s3://{BUCKET}/bare", data),
        "as the converter writes": partial(write, f"s3://{BUCKET}/ours", data),
    }
    rates = measure([Way(name, timed(work)) for name, work in writes.items()], rounds)
    print(table(rates, "s3fs alone", "MiB/s"))


if __name__ == "__main__":
    main()
