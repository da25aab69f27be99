"""How much memory and time parts of a set of many records take.

    python benchmarks/where_memory.py [--records 1000000 100000000] [--folder data/bench-where]

The set has a records.parquet with two labels of 21,000 classes. Each case is a process of its own,
with an empty cache folder: what it needs of the table is copied there first. RssAnon is the memory
that the process owns at most, sampled each few milliseconds.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from made_records import made_records, write_heads
from memory_cases import main

from reader.sets.choice import chosen, whole
from reader.sets.selection import Selection
from shardio.measure.memory import SampledMemory

CASES = ("one class", "a thousand classes", "a function", "drop a thousand rows", "every tenth")


def case(name: str, folder: Path, records: int) -> None:
    """Choose the records of a case, and print memory and time."""
    with SampledMemory() as memory:
        start = time.perf_counter()
        selection = Selection(made_records(folder, records), whole(records))
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


if __name__ == "__main__":
    main(
        __file__,
        "| part | records | chosen | RssAnon, MB | s | us a record of it |\n"
        "|---|---|---|---|---|---|",
        CASES,
        write_heads,
        case,
        "data/bench-where",
    )
