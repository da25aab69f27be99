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
S3_SERVER = "moto_server"
# Fixtures of the whole run, or of a module, have them. Chromium starts helpers when it needs them.
_SERVERS = (b"java\0", f"/{S3_SERVER}\0".encode(), b"\0pyspark.daemon\0", b"/chromium")
_SECONDS = 60


# The parents of processes that are ours, and 0 for those of others: each is looked at once, so that
# a look at all of them takes no time.
_known: dict[int, int] = {}


def mark() -> None:
    """Mark the environment, which processes inherit whoever their parent becomes."""
    os.environ[_MARK] = uuid.uuid4().hex
    _known.clear()


def started() -> set[int]:
    """Return the ids of the processes that are still running."""
    pids = {int(name) for name in os.listdir("/proc") if name.isdigit()} - {os.getpid()}
    for pid in _known.keys() - pids:
        del _known[pid]
    for pid in sorted(pids - _known.keys()):
        _known[pid] = _parent_if_ours(pid)
    ours = {pid: parent for pid, parent in _known.items() if parent}
    commands = {pid: _command(pid) for pid in ours}
    # A zombie has none.
    return {pid for pid, command in commands.items() if command} - {
        pid
        for pid, parent in ours.items()
        if parent == os.getpid() and any(words in commands[pid] for words in _HELPERS)
    }


def _parent_if_ours(pid: int) -> int:
    """Return the id of a process's parent, or 0 where neither it nor a mark makes it ours."""
    mark = f"{_MARK}={os.environ[_MARK]}".encode()
    # Those of others may not be read.
    with suppress(OSError, ValueError):
        parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        # A fork shows the environment with which its parent began.
        if parent == os.getpid() or _known.get(parent):
            return parent
        if mark in Path(f"/proc/{pid}/environ").read_bytes():
            return parent
    return 0


def at_the_end() -> set[int]:
    """Return what `started` does, and look at every process again."""
    _known.clear()
    return started()


def end(pids: set[int], *, servers: bool = False) -> list[str]:
    """Wait until processes have ended, and kill those that do not; return their commands.

    Servers of HDFS, S3 and Spark, and browsers, are left alone, unless `servers`.
    """
    deadline = time.monotonic() + _SECONDS
    while left := {pid for pid in pids & started() if servers or not _is_server(pid)}:
        if time.monotonic() > deadline:
            break
        time.sleep(0.02)
    commands = []
    for pid in left:
        commands.append(f"{pid}: {_command(pid).replace(bytes(1), b' ').decode(errors='replace')}")
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return commands


def _is_server(pid: int) -> bool:
    command = _command(pid)
    return any(name in command for name in _SERVERS)


def _command(pid: int) -> bytes:
    """Return the command line; a zombie has none."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
