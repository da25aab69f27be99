"""Other work on the machine hides no model that holds the interpreter's lock, and accuses none."""

from __future__ import annotations

import ctypes
import os
import subprocess
import time
from collections.abc import Iterator

import pytest

from reader.measure.model import _Lock


@pytest.fixture
def busy_core() -> Iterator[None]:
    """Run this thread, and those that it starts, on a core that others want all the time."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    others = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(40)]
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)
        for process in others:
            process.kill()
            process.wait()


@pytest.mark.speed
@pytest.mark.parametrize(("library", "holds"), [(ctypes.PyDLL, True), (ctypes.CDLL, False)])
def test_the_lock_on_a_busy_core(busy_core: None, library: type[ctypes.CDLL], holds: bool) -> None:
    usleep = library(None).usleep  # that of PyDLL keeps the lock
    end = time.perf_counter() + 2
    with _Lock() as lock:
        while time.perf_counter() < end:
            usleep(20_000)
    assert (lock.share > 0.5) == holds, lock.share
