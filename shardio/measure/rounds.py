"""Several ways to do the same work, in turn, so that what else the machine does meets all alike."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

_Result = TypeVar("_Result")


def interleaved(ways: Mapping[str, Callable[[], _Result]], rounds: int) -> dict[str, list[_Result]]:
    """Run every way once to warm up, then `rounds` times in turn; returns what each gave."""
    found: dict[str, list[_Result]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, run in ways.items():
            result = run()
            if number:
                found[name].append(result)
    return found


def ratio(rates: Sequence[float], base: Sequence[float]) -> float:
    """Return the median of the ratios of rates to others, round by round."""
    return statistics.median(a / b if b else float("nan") for a, b in zip(rates, base, strict=True))
