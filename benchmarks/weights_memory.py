"""How much memory and time weights over many records take: the table, and draws from it.

    python benchmarks/weights_memory.py [--records 1000000 100000000] [--folder data/bench-weights]

Labels of 21,000 classes and weights of single records lie in files, as a set keeps them; in the
case "from Parquet" the labels are in a records.parquet, and are copied from there first. Each case
is a process of its own: it makes the table in the cache folder, then draws a million records, in
batches of 128 from all parts of an epoch. RssAnon is the memory that the process owns at most,
sampled each few milliseconds.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from made_records import made_records, write_table
from numpy.typing import NDArray
from sampled_memory import SampledMemory

from reader.order.draw import DrawnOrder
from reader.sets.draws import RecordWeights, draws_of
from reader.sets.record_columns import column
from shardio.format.label import Label

CASES = ("balanced", "from Parquet", "one class", "two heads", "array")
_CLASSES = 21_000
_PIECE = 1_000_000


def made(folder: Path, records: int) -> None:
    """Write the labels of two heads, few of most classes, and weights; keeps what is there."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("y0", "y1", "weights"):
        path = folder / f"{records}.{name}.npy"
        if path.exists():
            continue
        dtype = np.float32 if name == "weights" else np.int32
        array = np.lib.format.open_memmap(path, "w+", dtype, (records,))
        for start in range(0, records, _PIECE):
            part = array[start : start + _PIECE]
            random = np.random.default_rng([start, len(name)]).random(len(part))
            part[:] = random if name == "weights" else (random**4 * _CLASSES).astype(np.int32)


def case(name: str, folder: Path, records: int) -> None:
    """Make the table of a case, draw from it, and print memory and times."""
    labels = Label("y0", _CLASSES), Label("y1", _CLASSES)

    def copied(head: str) -> NDArray[Any]:
        return column(made_records(folder / str(records), records, labels), head)

    def mapped(head: str) -> NDArray[Any]:
        array: NDArray[Any] = np.load(folder / f"{records}.{head}.npy", mmap_mode="r")
        return array

    weights: dict[str, RecordWeights] = {
        "balanced": {"y0": "balanced"},
        "from Parquet": {"y0": "balanced"},
        "one class": {"y0": {17: 5.0}},
        "two heads": {"y0": "balanced", "y1": "balanced"},
        "array": mapped("weights"),
    }
    with SampledMemory() as memory:
        start = time.perf_counter()
        kept = draws_of(
            weights[name],
            records=records,
            labels=labels,
            labels_of=copied if name == "from Parquet" else mapped,
            fingerprint="made",
            version="",
            place=str,
        )
        made_at = time.perf_counter()
        order = DrawnOrder(kept.array, 1)
        drawn = 0
        for first in range(0, records - 8192, max(8192, records // 122)):
            for at in range(first, first + 8192, 128):
                drawn += len(order.share(0, at, at + 128, 0, 1))
        seconds = time.perf_counter() - made_at
    size = kept.array.nbytes / records
    print(
        f"| {name} | {records:,} | {size:.0f} | {memory.peak / 1e3:.0f} | {made_at - start:.1f} | "
        f"{seconds / drawn * 1e6:.2f} |",
        flush=True,
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, nargs="+", default=[1_000_000, 100_000_000])
    parser.add_argument("--folder", type=Path, default=Path("data/bench-weights"))
    parser.add_argument("--case", choices=CASES)
    arguments = parser.parse_args()
    if arguments.case:
        case(arguments.case, arguments.folder, arguments.records[0])
        return
    print(
        "| weights | records | bytes a record | RssAnon, MB | table, s | a draw, us |\n"
        "|---|---|---|---|---|---|",
        flush=True,
    )
    for records in arguments.records:
        made(arguments.folder, records)
        heads = {
            head: np.load(arguments.folder / f"{records}.{head}.npy", mmap_mode="r")
            for head in ("y0", "y1")
        }
        (arguments.folder / str(records)).mkdir(exist_ok=True)
        write_table(arguments.folder / str(records) / "records.parquet", records, heads)
        for name in CASES:
            cache = arguments.folder / "cache"
            environment = {**os.environ, "XDG_CACHE_HOME": str(cache.resolve())}
            command = [sys.executable, __file__, "--case", name, "--records", str(records)]
            command += ["--folder", str(arguments.folder)]
            subprocess.run(command, check=True, env=environment)
            shutil.rmtree(cache, ignore_errors=True)


if __name__ == "__main__":
    main()
