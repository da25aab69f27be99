"""Properties that are computed once, whatever other threads and processes do meanwhile."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Barrier

from shardio.cached_property import cached_property
from tests.reader.datasets import write_dataset

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Squared:
    number: int

    @cached_property
    def values(self) -> list[int]:
        """The square, in a list of its own."""
        return [self.number**2]


def test_a_property_is_computed_once_for_each_object() -> None:
    three, four = Squared(3), Squared(4)
    assert three.values is three.values
    assert (three.values, four.values) == ([9], [16])
    assert Squared.values.__doc__ == "The square, in a list of its own."


def test_threads_that_compute_it_at_the_same_time_get_one_result() -> None:
    together = Barrier(4, timeout=60)

    class Slow:
        @cached_property
        def value(self) -> object:
            together.wait()
            return object()

    slow = Slow()
    with ThreadPoolExecutor(4) as threads:
        found = set(threads.map(lambda _: slow.value, range(4)))
    assert found == {slow.value}


# A thread is in the middle of each lock's time when the process is forked: the child, which has not
# got that thread, needs the same.
_FORK = """
import os, sys, threading
from reader import open_shards
from reader.files import open_files
from shardio.cached_property import cached_property

class Slow:
    is_slow = True
    @cached_property
    def value(self):
        if self.is_slow:
            begun.set()
            go.wait()
        return 1

def hold():
    with open_files._holders_lock:
        Slow().value

begun, go = threading.Event(), threading.Event()
thread = threading.Thread(target=hold)
thread.start()
begun.wait()
child = os.fork()
if child == 0:
    Slow.is_slow = False
    os._exit(Slow().value + len(open_shards(sys.argv[1])[3][1]))
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
go.set()
thread.join()
"""


def test_a_process_is_forked_well_while_other_threads_open_sets(tmp_path: Path) -> None:
    made = write_dataset(tmp_path / "set", heads=2)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _FORK, str(made.folder)],
        cwd=ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("3\n", "")
