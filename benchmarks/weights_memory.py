"""How much memory and time weights over many records take: the table, and draws from it.

    python benchmarks/weights_memory.py [--records 1000000 100000000] [--folder data/bench-weights]

Labels of 21,000 classes and weights of single records lie in files, as a set keeps them; in the
case "from Parquet" the labels are in a records.parquet, and are copied from there first. Each case
is a process of its own: it makes the table in the cache folder, then draws a million records, in
batches of 128 from all parts of an epoch. RssAnon is the memory that the process owns at most,
sampled each few milliseconds.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from made_records import LABELS, made_records, write_heads
from memory_cases import main
from numpy.typing import NDArray

from reader.order.draw import drawn_order
from reader.sets.draws import RecordWeights, draws_of
from reader.sets.record_columns import column
from shardio.measure.memory import SampledMemory

CASES = ("balanced", "from Parquet", "one class", "two heads", "array")
_PIECE = 1_000_000


def prepare(folder: Path, records: int) -> None:
    """Write labels, and weights of single records; keeps what is there."""
    write_heads(folder, records)
    if not (folder / "weights.npy").exists():
        array = np.lib.format.open_memmap(folder / "weights.npy", "w+", np.float32, (records,))
        for start in range(0, records, _PIECE):
            part = array[start : start + _PIECE]
            part[:] = np.random.default_rng(start).random(len(part))


def case(name: str, folder: Path, records: int) -> None:
    """Make the table of a case, draw from it, and print memory and times."""

    def copied(head: str) -> NDArray[Any]:
        return column(made_records(folder, records), head)

    def mapped(head: str) -> NDArray[Any]:
        array: NDArray[Any] = np.load(folder / f"{head}.npy", mmap_mode="r")
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
            labels=LABELS,
            labels_of=copied if name == "from Parquet" else mapped,
            fingerprint="made",
            version="",
            place=str,
        )
        made_at = time.perf_counter()
        order = drawn_order(kept.array, 1)
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


if __name__ == "__main__":
    main(
        __file__,
        "| weights | records | bytes a record | RssAnon, MB | table, s | a draw, us |\n"
        "|---|---|---|---|---|---|",
        CASES,
        prepare,
        case,
        "data/bench-weights",
    )
