"""The seconds that an examination has, and what is measured again within them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from shardio.measure.measured import Measured

# No stage takes more than this part of what is left, and none is worth less time than that.
_PART, _LEAST = 8, 0.2
_PASSES = 3
# Passes of the same work that differ more do not agree.
_AGREE = 0.75


class Budget:
    """So many seconds from now on."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds
        self.left_out: list[str] = []
        """What there was no time for."""

    @property
    def left(self) -> float:
        """Seconds that are left; none are below 0."""
        return max(0.0, self._end - time.monotonic())

    def seconds(self, wanted: float) -> float:
        """Return how long a stage may take that should take so many seconds."""
        return max(_LEAST, min(wanted, self.left / _PART))

    def allows(self, what: str) -> bool:
        """Return whether there is time for something; if not, it counts as left out."""
        if not self.left:
            self.left_out.append(what)
        return bool(self.left)


def repeated(
    runs: Mapping[str, Callable[[], Measured]],
    budget: Budget,
    slower: Mapping[str, Measured] | None = None,
) -> tuple[dict[str, Measured], list[str]]:
    """Measure works in turn, twice each, and a third time where the passes do not agree.

    The first one is measured in any case, the others while there is time.
    Other work of the machine only lowers rates, so that the fastest pass counts. One that is not
    faster than that of the same name in `slower`, which it should be, is measured again, too.
    Returns the rates, and the names of those of which no two passes agreed.
    """
    passes: dict[str, list[Measured]] = {name: [] for name in runs}

    def is_settled(name: str) -> bool:
        rates = sorted(each.rate for each in passes[name])
        if len(rates) < 2:
            return False
        least = 0.0 if slower is None or name not in slower else slower[name].rate / _AGREE
        return rates[-2] >= _AGREE * rates[-1] and (len(rates) > 2 or rates[-1] > least)

    for number in range(_PASSES):
        for place, (name, run) in enumerate(runs.items()):
            if is_settled(name):
                continue
            is_timely = bool(budget.left) if number else not place or budget.allows(name)
            if is_timely:
                passes[name].append(run())
    found = {name: max(each, key=lambda one: one.rate) for name, each in passes.items() if each}
    return found, [name for name in found if len(passes[name]) > 1 and not is_settled(name)]
