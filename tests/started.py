"""Processes that this run of the tests has started, also those that have lost their parent."""

from __future__ import annotations

import os
import signal
import time
import uuid
from contextlib import suppress
from pathlib import Path

_MARK = "SHARDIO_TEST_RUN"
# Helpers of this process that serve the whole run: they end when its end of a pipe is closed.
_HELPERS = (b"multiprocessing.", b"torch_shm_manager")
# A fixture of the whole run has them.
_SERVERS = b"java\0"
_SECONDS = 60


# Processes that are not ours, so that a look at all others takes no time.
_strangers: set[int] = set()


def mark() -> None:
    """Mark the environment, which processes inherit whoever their parent becomes."""
    os.environ[_MARK] = uuid.uuid4().hex
    _strangers.clear()


def started() -> set[int]:
    """Return the ids of the processes that are still running."""
    mark = f"{_MARK}={os.environ[_MARK]}".encode()
    found: set[int] = set()
    _strangers.intersection_update(pids := {int(n) for n in os.listdir("/proc") if n.isdigit()})
    for pid in pids - _strangers:
        # Those of others cannot be read.
        environment = b""
        with suppress(OSError):
            environment = Path(f"/proc/{pid}/environ").read_bytes()
        (found if mark in environment else _strangers).add(pid)
    # A fork shows the environment with which its parent began.
    children = _children(os.getpid())
    found |= _descendants(os.getpid())
    found -= {child for child in children if any(words in _command(child) for words in _HELPERS)}
    return {pid for pid in found if _command(pid)} - {os.getpid()}


def at_the_end() -> set[int]:
    """Return what `started` does, and look at every process again."""
    _strangers.clear()
    return started()


def end(pids: set[int], *, servers: bool = False) -> list[str]:
    """Wait until processes have ended, and kill those that do not; return their commands.

    Servers of HDFS are left alone, unless `servers`.
    """
    deadline = time.monotonic() + _SECONDS
    while left := {pid for pid in pids & started() if servers or _SERVERS not in _command(pid)}:
        if time.monotonic() > deadline:
            break
        time.sleep(0.02)
    commands = []
    for pid in left:
        commands.append(f"{pid}: {_command(pid).replace(bytes(1), b' ').decode(errors='replace')}")
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return commands


def _command(pid: int) -> bytes:
    """Return the command line; a zombie has none."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _children(pid: int) -> set[int]:
    found: set[int] = set()
    with suppress(OSError):
        # Each thread has its own.
        for task in os.listdir(f"/proc/{pid}/task"):
            text = Path(f"/proc/{pid}/task/{task}/children").read_text()
            found.update(map(int, text.split()))
    return found


def _descendants(pid: int) -> set[int]:
    found = children = _children(pid)
    for child in children:
        found = found | _descendants(child)
    return found
