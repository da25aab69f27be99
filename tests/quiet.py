"""The threads of this process, as the kernel sees them."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

_TASKS = Path("/proc/self/task")
_LOOKS = 20


def waits() -> int:
    """Return how often the other threads of this process have waited for something."""
    total = 0
    for task in os.listdir(_TASKS):
        with suppress(OSError):
            if int(task) != os.getpid():
                text = (_TASKS / task / "status").read_text()
                total += int(text.partition("\nvoluntary_ctxt_switches:")[2].split()[0])
    return total


def wait_for_threads() -> None:
    """Wait until all other threads of this process sleep, each time that one looks."""
    looks = 0
    while looks < _LOOKS:
        states = []
        for task in os.listdir(_TASKS):
            with suppress(OSError):
                if int(task) != os.getpid():
                    states.append(
                        (_TASKS / task / "stat").read_text().rpartition(")")[2].split()[0]
                    )
        looks = looks + 1 if set(states) <= {"S"} else 0
        time.sleep(0.01)
