"""Emulated accelerators: processes that sleep for the time of a step whenever a batch has arrived.

As in DLIO, which MLPerf Storage runs: each accelerator is a rank of its own with its own stream,
and all wait for each other after every step, as an all-reduce would make them.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import resource
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.context import ForkServerContext
from statistics import fmean
from typing import Any, cast

_SECONDS = 300.0  # for one step, or for all to be ready


@dataclass(frozen=True)
class Stream:
    """What makes the batches of a rank: a function `(rank, world, **options)` of a module.

    Only the ranks import it. The batches are begun when all ranks have made theirs.
    """

    module: str
    function: str
    options: dict[str, Any]

    def made(self, rank: int, world: int) -> Iterable[Any]:
        """Make the batches of a rank."""
        function = getattr(import_module(self.module), self.function)
        return cast(Iterable[Any], function(rank, world, **self.options))


@dataclass(frozen=True)
class Job:
    """What each accelerator does: `steps` steps of `seconds` each.

    A run whose utilisation cannot reach `least` any more is given up.
    """

    steps: int
    seconds: float
    least: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """What a run of some accelerators was."""

    au: float
    """Accelerator utilisation, 0 to 1, the mean over all."""
    cpu: float
    """CPU seconds of one step of one accelerator, its loader's processes included."""
    others: float
    """The share of the machine's CPU time that other programs took meanwhile, 0 to 1."""


def utilisation(steps: int, seconds: float, total: float) -> float:
    """Return the accelerator utilisation as the rules of MLPerf Storage define it.

    It is the ideal compute time of all steps but the first, by the time from the end of the first
    step to the end of the last: time that the machine takes to wake up a sleeper is no work.
    """
    return (steps - 1) * seconds / total


def run(stream: Stream, accelerators: int, job: Job) -> Outcome:
    """Run so many accelerators; what they import is imported once, before they are forked."""
    if job.steps < 2:
        raise SystemExit("a run has two steps or more, since the first does not count")
    context = _context(stream.module)
    arrived = context.Semaphore(0)
    # Two that take turns: nobody can take the permission of the next step for that of this one.
    go = context.Semaphore(0), context.Semaphore(0)
    answers = context.SimpleQueue()
    arguments = stream, accelerators, job, arrived, go, answers
    # No daemons: a loader may have processes itself.
    ranks = [
        context.Process(target=_accelerate, args=(rank, *arguments)) for rank in range(accelerators)
    ]
    try:
        for rank in ranks:
            rank.start()
        _meet(ranks, arrived, go[0])
        _meet(ranks, arrived, go[1])
        before, begun = _busy(), time.perf_counter()
        ideal = (job.steps - 1) * job.seconds
        for step in range(2, job.steps + 1):
            _meet(ranks, arrived, go[step % 2])
            took = time.perf_counter() - begun
            if took * job.least > ideal:
                return Outcome((step - 1) * job.seconds / took, math.nan, math.nan)
        busy, all_of_it = (after - then for after, then in zip(_busy(), before, strict=True))
        found = [answers.get() for _ in ranks]
        for rank in ranks:
            rank.join()
    finally:
        for rank in ranks:
            if rank.is_alive():
                rank.kill()
                rank.join()
    seconds = sum(cpu for _, cpu in found)
    return Outcome(
        fmean(au for au, _ in found),
        seconds / accelerators / (job.steps - 1),
        max(0.0, busy - seconds) / all_of_it,
    )


def _context(module: str) -> ForkServerContext:
    # The server of Python 3.11 does not get the path of this process by itself.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([module])
    return context


def _meet(ranks: list[Any], arrived: Any, go: Any) -> None:
    """Let all ranks go on when each has arrived."""
    deadline = time.monotonic() + _SECONDS
    for _ in ranks:
        while not arrived.acquire(timeout=0.5):
            failed = [rank.exitcode for rank in ranks if rank.exitcode]
            if failed or time.monotonic() > deadline:
                raise SystemExit(f"an accelerator has failed: {failed or 'it does not answer'}")
    for _ in ranks:
        go.release()


def _accelerate(
    rank: int, stream: Stream, world: int, job: Job, arrived: Any, go: Any, answers: Any
) -> None:
    made = stream.made(rank, world)
    arrived.release()
    go[0].acquire()
    batches = iter(made)
    # When the first step and the last one ended, and the CPU seconds until then.
    times, cpu = [], []
    for step in range(1, job.steps + 1):
        batch = next(batches)
        time.sleep(job.seconds)
        if step in (1, job.steps):
            times.append(time.perf_counter())
            cpu.append(_cpu())
        del batch
        arrived.release()
        go[step % 2].acquire()
    answers.put((utilisation(job.steps, job.seconds, times[1] - times[0]), cpu[1] - cpu[0]))


def _cpu() -> float:
    """Return the CPU seconds of this process and of those that a loader has started here."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    seconds = usage.ru_utime + usage.ru_stime
    for child in multiprocessing.active_children():
        with open(f"/proc/{child.pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        seconds += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return seconds


def _busy() -> tuple[float, float]:
    """Return the CPU seconds that all programs have taken, and all that there were."""
    with open("/proc/stat") as file:
        times = [int(value) for value in file.readline().split()[1:9]]
    ticks = os.sysconf("SC_CLK_TCK")
    idle = times[3] + times[4]
    return (sum(times) - idle) / ticks, sum(times) / ticks
