"""How much memory and time a large table takes: `python -m converter TABLE OUT --dry-run`.

    python benchmarks/table_memory.py [--rows 1000000 10000000] [--folder data/bench-tables]

With --planned it is a conversion itself, up to its first images: all rows are dealt to shards then.

The tables have a path and four labels of 21,000 classes a row, as CSV, JSON Lines and Parquet, and
as CSV with a column split. RssAnon is the memory that the process owns, sampled each few
milliseconds; VmHWM is the largest resident size, in which the kernel also counts the mapped pages
of files, which it takes back when it needs them.
"""

from __future__ import annotations

import argparse
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image
from pyarrow import csv, parquet

_BATCH = 100_000
_HEADS = ("y0", "y1", "y2", "y3")
KINDS = ("csv", "jsonl", "parquet", "split.csv")


# All rows are of these: a plan does not look at more of them.
_IMAGES = 100


def images(folder: Path) -> None:
    """Make the images that a conversion needs to begin."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for number in range(_IMAGES):
        picture = Image.new("RGB", (8, 8), (number, 0, 0))
        picture.save(folder / f"images/{number:024d}.png")


def batches(rows: int, split: bool, planned: bool) -> Iterator[pa.RecordBatch]:
    """Make the rows of a table."""
    random = np.random.default_rng(rows)
    for start in range(0, rows, _BATCH):
        numbers = range(start, min(start + _BATCH, rows))
        if planned:
            paths = [f"images/{n % _IMAGES:024d}.png" for n in numbers]
        else:
            paths = [f"images/{n // 1000:06d}/{n:09d}.jpg" for n in numbers]
        columns: dict[str, Any] = {"path": paths}
        columns |= {head: random.integers(0, 21_000, len(numbers)) for head in _HEADS}
        if split:
            columns["split"] = ["val" if n % 50 == 0 else "train" for n in numbers]
        yield pa.RecordBatch.from_pydict(columns)


def write(path: Path, rows: int) -> None:
    """Write a table, unless it is there."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}")
    made = batches(rows, "split" in path.name, "planned" in path.name)
    first = next(made)
    if path.suffix == ".jsonl":
        line = '{"path": "%s", "y0": %d, "y1": %d, "y2": %d, "y3": %d}\n'
        with temporary.open("w") as file:
            for batch in chain([first], made):
                columns = (column.to_pylist() for column in batch.columns)
                file.writelines(line % row for row in zip(*columns, strict=True))
    else:
        kind = parquet.ParquetWriter if path.suffix == ".parquet" else csv.CSVWriter
        with kind(str(temporary), first.schema) as writer:
            for batch in chain([first], made):
                writer.write_table(pa.Table.from_batches([batch]))
    temporary.rename(path)


def measure(table: Path) -> tuple[float, float, float]:
    """Check a table; returns peak RssAnon and VmHWM in MB, and seconds."""
    command = [sys.executable, "-m", "converter", str(table), "none", "--dry-run"]
    command += ["--size", "128x32"]  # there are no images
    return sampled(command, lambda: False)


def planned(table: Path) -> tuple[float, float, float]:
    """Begin a conversion, until it makes its first shards; returns what `measure` does."""
    images(table.parent)
    with tempfile.TemporaryDirectory(dir=table.parent) as out:
        command = [sys.executable, "-m", "converter", str(table), out, "--workers", "2"]
        command += ["--size", "128x32", "--crop", "none"]
        return sampled(command, lambda: any(Path(out).glob(".*.tmp")))


def sampled(command: list[str], is_over: Callable[[], bool]) -> tuple[float, float, float]:
    """Run a command, or as much of it as is wanted."""
    start = time.perf_counter()
    peaks = {"RssAnon": 0, "VmHWM": 0}
    stopped = False
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            try:
                text = Path(f"/proc/{process.pid}/status").read_text()
            except OSError:
                break
            for name in peaks:
                if found := re.search(rf"{name}:\s+(\d+) kB", text):
                    peaks[name] = max(peaks[name], int(found[1]))
            time.sleep(0.003)
            if not stopped and is_over():
                stopped = True
                process.send_signal(signal.SIGINT)
    if process.returncode and not stopped:
        raise SystemExit(f"{' '.join(command)} failed")
    return peaks["RssAnon"] / 1e3, peaks["VmHWM"] / 1e3, time.perf_counter() - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--folder", type=Path, default=Path("data/bench-tables"))
    parser.add_argument("--planned", action="store_true")
    arguments = parser.parse_args()
    # A shell ignores it in what it starts in the background, and so would the conversion, which
    # would go on until all of its shards are made.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    print("| table | rows | MB | RssAnon, MB | VmHWM, MB | s |\n|---|---|---|---|---|---|")
    for kind in arguments.kinds:
        for rows in arguments.rows:
            how = "planned." if arguments.planned else ""
            path = arguments.folder / f"{rows}.{how}{kind}"
            write(path, rows)
            owned, most, seconds = (planned if arguments.planned else measure)(path)
            size = path.stat().st_size / 1e6
            line = f"| {kind} | {rows:,} | {size:,.0f} | {owned:.0f} | {most:.0f} | {seconds:.1f} |"
            print(line, flush=True)


if __name__ == "__main__":
    main()
