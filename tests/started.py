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


def mark() -> None:
    """Mark the environment, which processes inherit whoever their parent becomes."""
    os.environ[_MARK] = uuid.uuid4().hex


def started() -> set[int]:
    """Return the ids of the processes that are still running."""
    wanted = f"{_MARK}={os.environ[_MARK]}".encode()
    found = set()
    for name in os.listdir("/proc"):
        # Other users' processes cannot be read, and those that have just ended.
        with suppress(OSError):
            if name.isdigit() and wanted in Path(f"/proc/{name}/environ").read_bytes():
                found.add(int(name))
    # A fork shows the environment with which its parent began.
    found |= _descendants(os.getpid())
    found -= {
        child for child in _children(os.getpid()) if any(h in _command(child) for h in _HELPERS)
    }
    return {pid for pid in found if _command(pid)} - {os.getpid()}


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
