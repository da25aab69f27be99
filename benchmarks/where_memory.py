"""How much memory and time parts of a set of many records take.

    python benchmarks/where_memory.py [--records 1000000 100000000] [--folder data/bench-where]

The set has a records.parquet with two labels of 21,000 classes. Each case is a process of its own,
with an empty cache folder: what it needs of the table is copied there first. RssAnon is the memory
that the process owns at most, sampled each few milliseconds.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from made_records import made_records, write_table
from sampled_memory import SampledMemory

from reader.sets.choice import chosen, whole
from reader.sets.selection import Selection
from shardio.format.label import Label

CASES = ("one class", "a thousand classes", "a function", "drop a thousand rows", "every tenth")
_CLASSES = 21_000
_PIECE = 1_000_000


def made(folder: Path, records: int) -> None:
    """Write the table of a made set; keeps what is there."""
    folder.mkdir(parents=True, exist_ok=True)
    heads = {}
    for name in ("y0", "y1"):
        path = folder / f"{name}.npy"
        if not path.exists():
            array = np.lib.format.open_memmap(path, "w+", np.int32, (records,))
            for start in range(0, records, _PIECE):
                part = array[start : start + _PIECE]
                random = np.random.default_rng([start, int(name[1])]).random(len(part))
                part[:] = (random**4 * _CLASSES).astype(np.int32)
        heads[name] = np.load(path, mmap_mode="r")
    write_table(folder / "records.parquet", records, heads)


def case(name: str, folder: Path, records: int) -> None:
    """Choose the records of a case, and print memory and time."""
    labels = Label("y0", _CLASSES), Label("y1", _CLASSES)
    with SampledMemory() as memory:
        start = time.perf_counter()
        selection = Selection(made_records(folder, records, labels), whole(records))
        if name == "one class":
            found = selection.where(None, {"y0": 17})
        elif name == "a thousand classes":
            found = selection.where(None, {"y0": range(1000, 2000)})
        elif name == "a function":
            found = selection.where(lambda labels: labels["y0"] > labels["y1"], {})
        elif name == "every tenth":
            found = chosen(selection.choice, slice(None, None, 10))
        else:
            found = selection.drop(range(0, records, records // 1000))
        seconds = time.perf_counter() - start
        start = time.perf_counter()
        again = Selection(selection.records, found)
        taken = len(again.choice.ids(np.arange(min(len(found), 100_000))))
        ids = time.perf_counter() - start
    print(
        f"| {name} | {records:,} | {len(found):,} | {memory.peak / 1e3:.0f} | {seconds:.1f} | "
        f"{ids / taken * 1e6:.3f} |",
        flush=True,
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, nargs="+", default=[1_000_000, 100_000_000])
    parser.add_argument("--folder", type=Path, default=Path("data/bench-where"))
    parser.add_argument("--case", choices=CASES)
    arguments = parser.parse_args()
    if arguments.case:
        case(arguments.case, arguments.folder, arguments.records[0])
        return
    print(
        "| part | records | chosen | RssAnon, MB | s | us a record of it |\n"
        "|---|---|---|---|---|---|",
        flush=True,
    )
    for records in arguments.records:
        folder = arguments.folder / str(records)
        made(folder, records)
        for name in CASES:
            cache = arguments.folder / "cache"
            environment = {**os.environ, "XDG_CACHE_HOME": str(cache.resolve())}
            command = [sys.executable, __file__, "--case", name, "--records", str(records)]
            subprocess.run([*command, "--folder", str(folder)], check=True, env=environment)
            shutil.rmtree(cache, ignore_errors=True)


if __name__ == "__main__":
    main()
