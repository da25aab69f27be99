"""What it costs to count what `stream.stats()` says, beside what a batch costs.

    python benchmarks/counting.py [--records 65536] [--rounds 300] [--folder data/bench]

A stream of `batches` asks its counts three times for each batch. These calls are timed by
themselves, with results that are there already, and so are the same calls that count nothing; the
difference is the cost. A batch of 128 costs the CPU seconds of all threads of this process. Both
are the least of many rounds, which other work on the machine disturbs least.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import made_shards
import numpy as np

from reader import open_shards
from reader.stats.stream_counts import StreamCounts

BATCH, CALLS = 128, 1600
CASES: list[dict[str, Any]] = [
    {"dtype": "uint8", "shuffle": "none"},
    {"dtype": "uint8", "shuffle": "exact"},
    {"dtype": "float32", "shuffle": "exact"},
]


class Nothing:
    """Has the calls of `StreamCounts` that a batch needs, and counts nothing."""

    def add(self, reading: float, decoding: float, cpu: float) -> None:
        """Do nothing."""

    def wait(self, result: Callable[[], Any]) -> Any:
        """Wait."""
        return result()

    def given(self, take: Callable[[], Any]) -> Any:
        """Take."""
        return take()


def counted(counts: Any, rounds: int) -> float:
    """Return the seconds of what a stream asks its counts for a batch."""
    image = np.zeros((BATCH, 1), np.uint8)
    parts = SimpleNamespace(images=image, labels=(), weights=None, rows=None)

    def result() -> Any:
        counts.add(1e-5, 0.0, 1e-5)
        return parts

    def take() -> Any:
        return counts.wait(result)

    def calls() -> None:
        for _ in range(CALLS):
            counts.given(take)

    return least(calls, rounds) / CALLS


def least(work: Callable[[], None], rounds: int) -> float:
    """Return the CPU seconds of work, the least of some rounds."""
    found = []
    for _ in range(rounds):
        begun = time.process_time()
        work()
        found.append(time.process_time() - begun)
    return min(found)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=65_536)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--folder", type=Path, default=Path("data/bench"))
    arguments = parser.parse_args()
    folder = arguments.folder / f"shards-{arguments.records}"
    made_shards.make(folder, arguments.records, 16)
    print(f"batches of {BATCH}; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    counts = StreamCounts()
    counts.is_fixed = True
    rounds = arguments.rounds
    adds = counted(counts, rounds) - counted(Nothing(), rounds)
    print(f"counting takes {adds * 1e6:.2f} us of a batch")
    for options in CASES:
        with open_shards(folder).batches(BATCH, epochs=None, **options) as batches:

            def some(batches: Any = batches) -> None:
                for _ in range(32):
                    next(batches)

            batch = least(some, rounds) / 32
        print(f"{', '.join(options.values()):16} {batch * 1e6:6.1f} us  {adds / batch:5.2%}")


if __name__ == "__main__":
    main()
