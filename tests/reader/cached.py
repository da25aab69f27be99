"""Sets with a cache, and what lies in it."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from reader import ShardSet, open_shards
from tests.reader.datasets import Made, write_dataset
from tests.reader.processes import ROOT

COUNTS = (40, 0, 60, 1, 70, 50)
# Of a record of those sets, framing included.
STRIDE = 103
# Begins to fill a cache, and is killed, or ends, before it reads one of its pieces.
_BEGIN = """
import os, signal, sys, threading
from reader import open_shards
from reader.cache.filler import CacheFiller

url, cache, piece, how = sys.argv[1:]
check, checks, has_come = CacheFiller._check_end, [], threading.Event()

def check_and_end(filler):
    if len(checks) == int(piece):  # the first check is for no piece
        if how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        has_come.set()
        threading.main_thread().join()
    checks.append(piece)
    check(filler)

CacheFiller._check_end = check_and_end
batches = open_shards(url, cache=cache).batches(4)
next(batches)
has_come.wait(300)
"""


def end_while_filling(url: str, cache: Path, piece: int, how: str) -> None:
    """Let a process that fills a cache be killed, or end, before it reads one of its pieces."""
    command = [sys.executable, "-c", _BEGIN, url, str(cache), str(piece), how]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    code = {"killed": -signal.SIGKILL, "ends": 0}[how]
    assert (done.returncode, done.stderr) == (code, "")


def url(made: Made) -> str:
    """Return the URL of a set, for which the reader does not know that it is local."""
    return f"file://{made.folder}"


def write_many(folder: Path, **options: Any) -> Made:
    made = write_dataset(folder, COUNTS, **options)
    assert made.layout.stride == STRIDE
    return made


def stream(shards: ShardSet, **options: Any) -> list[tuple[bytes, ...]]:
    """Return all that the batches of a stream hold."""
    return [pieces(batch) for batch in shards.batches(**small(options))]


def small(options: dict[str, Any]) -> dict[str, Any]:
    """Complete the options of a stream of small batches and blocks."""
    usual = {"batch_size": 8, "rows": True, "dtype": "uint8", "block": 7, "window": 4}
    return {**usual, **options}


def pieces(batch: tuple[Any, ...]) -> tuple[bytes, ...]:
    x, labels, rows = batch
    return (x.tobytes(), *(y.tobytes() for y in labels), rows.tobytes())


def until(condition: Callable[[], object], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


def fill(shards: ShardSet) -> None:
    """Let all shards be copied.

    One record is read for that: a stream might drop a copy again that holds a damaged one.
    """
    wanted = sum(shard.size > 0 for shard in shards.shards)
    if shards.cached < wanted:
        one = np.empty((1, shards.layout.image_bytes), dtype=np.uint8)
        shards.source(verify=True).fetch(np.array([0]), one)
    until(lambda: shards.cached == wanted)
    until_idle(shards.cache.folder if shards.cache else "")


def until_idle(folder: str | Path) -> None:
    """Wait until nobody fills any set, nor has begun to in this process."""

    def is_idle() -> bool:
        begun = any(thread.name == "shardio-cache" for thread in threading.enumerate())
        return not begun and not any(map(is_locked, Path(folder).glob("*/.filling")))

    until(is_idle)


def is_locked(path: Path) -> bool:
    try:
        with open(path) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        pass
    return False


def copies(folder: Path) -> list[Path]:
    """Return the copies that look whole."""
    return sorted(folder.glob("*/[0-9a-f]*-*.tfrecord"))


def unfinished(folder: Path) -> list[Path]:
    """Return what is half-written."""
    return sorted(folder.glob("*/.*.tmp"))


def sizes(folder: Path) -> dict[int, int]:
    """Return the bytes of each file in a folder, by its inode, but for what says whose they are."""
    found = {}
    for place, _, names in os.walk(folder):
        for name in {*names} - {".open"}:
            with suppress(FileNotFoundError):
                status = os.stat(f"{place}/{name}")
                found[status.st_ino] = status.st_size
    return found


def size(folder: Path) -> int:
    """Return the bytes of all files in a folder."""
    return sum(sizes(folder).values())


@contextmanager
def nobody_fills(folder: Path) -> Iterator[None]:
    """Be another process that fills each set and brings nothing: what is there stays so."""
    locks = list(folder.glob("*/.filling"))
    assert locks
    with ExitStack() as stack:
        for path in locks:
            file = stack.enter_context(open(path, "a"))
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def opened(made: Made, cache: Path, **options: Any) -> ShardSet:
    return open_shards(url(made), cache=cache, **options)
