"""Interleaved rounds of several ways to do the same work, and a table of their medians."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from shardio.measure.rounds import interleaved, ratio


@dataclass(frozen=True)
class Way:
    """A way to do the work; `run` does it and returns items a second."""

    name: str
    run: Callable[[], float]


def timed(work: Callable[[], int]) -> Callable[[], float]:
    """Turn work that returns its number of items into a run."""

    def run() -> float:
        start = time.perf_counter()
        items = work()
        return items / (time.perf_counter() - start)

    return run


def measure(ways: list[Way], rounds: int) -> dict[str, list[float]]:
    """Run every way once to warm up, then `rounds` times in turn; returns items a second."""
    return interleaved({way.name: way.run for way in ways}, rounds)


def table(rates: dict[str, list[float]], base: str, unit: str = "images/s") -> str:
    """Format medians, extremes and the median of the ratios to `base`, round by round."""
    width = max(map(len, rates))
    lines = [
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; "
        f"median of {len(rates[base])} interleaved rounds",
        f"{'':{width}}  {unit:>12}  {'min':>10}  {'max':>10}  ratio to {base}",
    ]
    for name, values in rates.items():
        lines.append(
            f"{name:{width}}  {statistics.median(values):12,.0f}  {min(values):10,.0f}  "
            f"{max(values):10,.0f}  {ratio(values, rates[base]):.2f}"
        )
    return "\n".join(lines)
