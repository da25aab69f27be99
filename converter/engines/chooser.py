"""Choosing an engine by its name."""

from __future__ import annotations

import os

from converter.engines.protocol import Engine
from shardio.errors import OptionError

ENGINES = ("processes", "inline")


def usable_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0))


def engine_for(name: str, workers: int | None = None) -> Engine:
    """Return the engine called `name`; `workers` is one a core by default.

    Raises OptionError for an unknown name, and a number of workers that it cannot have.
    """
    if name not in ENGINES:
        raise OptionError(f"the engine must be one of {', '.join(ENGINES)}, not {name!r}")
    if workers is not None and workers < 1:
        raise OptionError(f"the number of workers must be at least 1, not {workers}")
    if name == "inline" and workers not in (None, 1):
        raise OptionError("the inline engine works in one process; drop --workers")
    workers = workers or usable_cores()
    # A single worker would leave this process idle, and take half a second to start.
    if name == "inline" or workers == 1:
        from converter.engines.inline import InlineEngine

        return InlineEngine()
    from converter.engines.processes import ProcessesEngine

    return ProcessesEngine(workers)
