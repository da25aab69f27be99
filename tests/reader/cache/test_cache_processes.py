"""Processes that share a cache, that are killed while they fill it, and that end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from reader import open_shards
from shardio.storage.folder_lock import try_lock, unlock
from tests.collected import collect
from tests.reader.cached import (
    copies,
    end_while_filling,
    fill,
    opened,
    size,
    stream,
    unfinished,
    until,
    url,
)
from tests.reader.datasets import Made, write_dataset
from tests.reader.processes import ROOT, run, run_together

# fsspec's local files complain when the garbage collector gets to them before it does to ours.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")

# Reads a set with a cache; says what it read, what it wrote, and the most that it saw there. What
# is listed while files come and go was never there together; twice the same was.
READ = """
import hashlib, json, sys, threading, time
from pathlib import Path
from reader import open_shards
from tests.reader.cached import sizes

url, cache, limit, wanted = sys.argv[1:]
most, ends = 0, threading.Event()
def sample():
    global most
    before = None
    while True:
        last, now = ends.is_set(), sizes(Path(cache))
        if now == before:
            most = max(most, sum(now.values()))
            if last:
                return
        before = now
        time.sleep(0.001)
sampling = threading.Thread(target=sample, daemon=True)
sampling.start()
shards = open_shards(url, cache=cache, cache_limit=limit)
digest = hashlib.sha256()
for *_, rows in shards.batches(512, rows=True, epochs=2):
    digest.update(rows.tobytes())
# Room for a copy is looked for once an epoch: there may be none until the other process ends.
while shards.cached < int(wanted):
    for _ in shards.batches(512):
        pass
ends.set()
sampling.join()
io = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
print(json.dumps([digest.hexdigest(), int(io["wchar"]), most]))
"""

# Begins to fill a cache and says so.
BEGIN = """
import sys
from reader import open_shards
batches = open_shards(sys.argv[1], cache=sys.argv[2]).batches(64, epochs=None)
next(batches)
print("begun", flush=True)
for _ in batches:
    pass
"""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Six shards of 2 MB and one of 12; in that order they are copied."""
    return write_dataset(tmp_path_factory.mktemp("large") / "source", (20_000,) * 6 + (120_000,))


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def total(made: Made) -> int:
    return sum(entry.bytes for entry in made.manifest.shards)


@pytest.mark.parametrize("processes", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_processes_that_share_a_cache_copy_each_shard_once(
    large: Made, cache: Path, processes: int
) -> None:
    arguments = [(url(large), cache, "1GB", 7)] * processes
    found = run_together(READ, arguments)
    alone = run(READ, url(large), cache.parent / "other", "1GB", 7)
    assert {digest for digest, *_ in found} == {alone[0]}
    written = sum(each[1] for each in found)
    assert total(large) <= written < total(large) * 1.05
    assert {path.read_bytes() for path in copies(cache)} == {
        path.read_bytes() for path in large.folder.glob("*.tfrecord")
    }


def test_two_sets_in_two_processes_stay_within_the_limit(
    large: Made, cache: Path, tmp_path: Path
) -> None:
    other = write_dataset(tmp_path / "other", (20_000,) * 4, seed=1)
    limit = 14_000_000
    found = run_together(READ, [(url(made), cache, limit, 1) for made in (large, other)])
    assert 2_000_000 < max(most for *_, most in found) <= limit
    assert size(cache) <= limit


def start(made: Made, cache: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", BEGIN, url(made), str(cache)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "begun\n"
    return process


def test_a_process_that_is_killed_leaves_nothing_that_looks_whole(large: Made, cache: Path) -> None:
    sources = {path.name: path.read_bytes() for path in large.folder.glob("*.tfrecord")}
    # In the first and the third shard, of a piece each, and in the midst of the last one, of six.
    for piece, whole in ((1, 0), (3, 2), (7, 6)):
        end_while_filling(url(large), cache, piece, "killed")
        assert len(unfinished(cache)) == 1
        assert len(copies(cache)) == whole
        for path in copies(cache):
            assert path.read_bytes() == sources[path.name[25:]]
    shards = opened(large, cache)
    fill(shards)
    assert unfinished(cache) == []
    assert {path.name[25:]: path.read_bytes() for path in copies(cache)} == sources


def test_what_a_killed_process_left_is_removed_when_another_set_needs_room(
    large: Made, cache: Path, tmp_path: Path
) -> None:
    end_while_filling(url(large), cache, 3, "killed")
    assert len(unfinished(cache)) == 1
    other = write_dataset(tmp_path / "other", (20_000,), seed=1)
    fill(opened(other, cache))
    assert unfinished(cache) == []


def stop_between_turns(process: subprocess.Popen[str], cache: Path) -> None:
    """Stop a process, but not just when it has the lock that each holds for moments only."""
    for _ in range(1000):
        os.kill(process.pid, signal.SIGSTOP)
        time.sleep(0.05)
        lock = try_lock(str(cache / ".shardio.lock"))
        if lock is not None:
            unlock(lock)
            return
        os.kill(process.pid, signal.SIGCONT)
        time.sleep(0.003)
    raise AssertionError("it always has the lock")


def test_another_process_goes_on_where_a_killed_one_ended(large: Made, cache: Path) -> None:
    process = start(large, cache)
    stop_between_turns(process, cache)  # it is the one who fills the cache, and does nothing
    shards = opened(large, cache)
    wanted = stream(open_shards(url(large)), batch_size=256, block=None)
    assert stream(shards, batch_size=256, block=None) == wanted
    process.kill()
    process.communicate()
    until(lambda: shards.cached == 7)


def test_a_process_ends_while_it_fills(large: Made, cache: Path) -> None:
    end_while_filling(url(large), cache, 9, "ends")
    assert (unfinished(cache), len(copies(cache))) == ([], 6)


def test_the_thread_ends_with_the_set(large: Made, cache: Path) -> None:
    def is_running() -> bool:
        return any(thread.name == "shardio-cache" for thread in threading.enumerate())

    shards = opened(large, cache)
    assert shards.cached == 0  # it is open by now
    lock = try_lock(str(cache / ".shardio.lock"))
    assert lock is not None
    try:  # it waits for its turn meanwhile
        batches = shards.batches(64)
        next(batches)
        assert is_running()
        batches.close()
        assert is_running()
        del shards, batches
        collect()
    finally:
        unlock(lock)
    until(lambda: not is_running())
    assert unfinished(cache) == []
    assert len(copies(cache)) < 7


def test_the_copies_of_a_set_that_is_open_elsewhere_are_not_evicted(
    large: Made, cache: Path, tmp_path: Path
) -> None:
    other = write_dataset(tmp_path / "other", (20_000,) * 2, seed=1)
    limit = total(large) + 1_000_000
    shards = opened(large, cache, cache_limit=limit)
    fill(shards)
    before = copies(cache)
    run(READ, url(other), cache, limit, 0)
    assert copies(cache) == before
    del shards
    collect()
    run(READ, url(other), cache, limit, 2)
    assert 0 < len(set(before) & set(copies(cache))) < 7


LIMITED = """
import json, resource, sys, warnings
from reader import open_shards
from tests.reader.cached import until_idle

url, cache = sys.argv[1:]
resource.setrlimit(resource.RLIMIT_FSIZE, (5_000_000, 5_000_000))
shards = open_shards(url, cache=cache)
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    for _ in range(3):
        for batch in shards.batches(64):
            pass
        until_idle(cache)
print(json.dumps([shards.cached, [str(w.message) for w in told]]))
"""


def test_a_write_that_fails_is_told_once_and_training_goes_on(large: Made, cache: Path) -> None:
    cached, told = run(LIMITED, url(large), cache)
    assert cached == 6
    assert len(told) == 1
    assert "not cached: " in told[0]
    assert "File too large" in told[0]
    assert unfinished(cache) == []
