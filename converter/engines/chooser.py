"""Choosing an engine by its name."""

from __future__ import annotations

import os
from collections.abc import Mapping

from converter.engines.protocol import Engine
from shardio.errors import OptionError

ENGINES = ("processes", "inline", "spark")


def usable_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0))


def engine_for(
    name: str, workers: int | None = None, spark: Mapping[str, str] | None = None
) -> Engine:
    """Return the engine called `name`; `workers` is one a core by default.

    `spark` are properties of Spark for the engine of that name. Raises OptionError for an unknown
    name, and for what an engine cannot have.
    """
    if name not in ENGINES:
        raise OptionError(f"the engine must be one of {', '.join(ENGINES)}, not {name!r}")
    if workers is not None and workers < 1:
        raise OptionError(f"the number of workers must be at least 1, not {workers}")
    if name == "inline" and workers not in (None, 1):
        raise OptionError("the inline engine works in one process; drop --workers")
    if name == "spark":
        if workers is not None:
            raise OptionError("Spark says how many workers there are; drop --workers")
        from converter.engines.spark.engine import SparkEngine

        return SparkEngine(spark or {})
    if spark:
        raise OptionError("--master and --conf are for --engine spark")
    workers = workers or usable_cores()
    # A single worker would leave this process idle, and take half a second to start.
    if name == "inline" or workers == 1:
        from converter.engines.inline import InlineEngine

        return InlineEngine()
    from converter.engines.processes import ProcessesEngine

    return ProcessesEngine(workers)
