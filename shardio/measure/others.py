"""How much of a machine's CPU time other programs take."""

from __future__ import annotations

import os
import resource

# Of the first line of /proc/stat, in clock ticks: user, nice, system, idle, iowait, irq, softirq,
# and what a host took from this virtual machine.
_TIMES = slice(1, 9)
_IDLE = slice(3, 5)
# What others may take of the CPU time before rates are theirs.
_BUSY = 0.15
AGAIN = "so that rates may be too low: measure again when it has nothing else to do"


class Others:
    """Measures what others do while a block runs, but for the processes that it starts and ends.

    `share` is a share of the time of all cores, 0 to 1; 0 where the kernel does not say.
    """

    def __init__(self) -> None:
        self.share = 0.0

    def __enter__(self) -> Others:
        self._before = _machine(), _own()
        return self

    def __exit__(self, *exception: object) -> None:
        (busy, total), own = _machine(), _own()
        (busy_before, total_before), own_before = self._before
        if total > total_before:
            others = busy - busy_before - (own - own_before)
            self.share = min(1.0, max(0.0, others / (total - total_before)))


def busy(share: float) -> str:
    """Say that others took such a share, where it is enough to doubt what was measured; else ''."""
    if share < _BUSY:
        return ""
    return f"other programs took {share:.0%} of this machine's CPU time meanwhile"


def _own() -> float:
    """Return the CPU seconds of this process and of those of its children that have ended."""
    ours = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in ours)


def _machine() -> tuple[float, float]:
    """Return the CPU seconds that all programs have taken, and all that there were."""
    try:
        with open("/proc/stat") as file:
            times = [int(value) for value in file.readline().split()[_TIMES]]
    except (OSError, ValueError):
        return 0.0, 0.0
    ticks = os.sysconf("SC_CLK_TCK")
    return (sum(times) - sum(times[_IDLE])) / ticks, sum(times) / ticks
