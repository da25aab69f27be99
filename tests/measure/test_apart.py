"""Work in a process of its own: its results, its errors, and its end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from shardio.errors import DatasetError, ShardioError
from shardio.measure.apart import Apart
from tests.quiet import waits

ROOT = Path(__file__).resolve().parents[2]


def adding(first: int) -> Callable[[int], int]:
    return lambda more: first + more


def owning(megabytes: int) -> Callable[[], int]:
    def work() -> int:
        memory = np.ones(megabytes << 20, dtype=np.uint8)
        before = waits()
        while waits() < before + 10:  # the thread that looks at the memory
            time.sleep(0.01)
        return len(memory)

    return work


def failing(what: str) -> Callable[[], int]:
    def work() -> int:
        sys.stdout.write("said before")
        sys.stdout.flush()
        if what == "ours":
            raise DatasetError("shard 3 is damaged")
        if what == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        raise ValueError("first line\nsecond line")

    if what == "at once":
        raise DatasetError("not even begun")
    return work


def test_work_is_begun_once_and_run_often() -> None:
    with Apart(adding, 40) as process:
        assert [process.run(2), process.run(3)] == [42, 43]


def test_the_memory_is_that_of_the_process() -> None:
    with Apart(owning, 300) as large, Apart(owning, 1) as small:
        assert large.run() == 300 << 20
        small.run()
    assert large.memory.own > 300 << 20 > small.memory.own
    assert large.memory.resident >= large.memory.own


@pytest.mark.parametrize(
    ("what", "kind", "message"),
    [
        ("ours", DatasetError, "^shard 3 is damaged$"),
        ("at once", DatasetError, "^not even begun$"),
        ("others", ShardioError, "^ValueError: first line$"),
        ("killed", ShardioError, "ended with -9:\nsaid before"),
    ],
)
def test_errors_arrive(what: str, kind: type[Exception], message: str) -> None:
    with Apart(failing, what) as process, pytest.raises(kind, match=message):
        process.run()


_ENDLESS = """
import os, sys, time
from shardio.measure.apart import Apart
import tests.measure.test_apart as test
process = Apart(test.forever)
print(process._process.pid, flush=True)
process.run()
"""


def forever() -> Callable[[], int]:
    def work() -> int:
        while True:
            time.sleep(0.01)

    return work


def test_a_process_does_not_outlive_its_killed_parent() -> None:
    # Where it would, tests/conftest.py finds it and fails this test.
    command = [sys.executable, "-c", _ENDLESS]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert int(parent.stdout.readline())
        parent.kill()
