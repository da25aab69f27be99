"""Processes that wait for storage, and are interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_SECONDS = 300
# Code that lets a process report waits early: tests have less time than people.
EARLY = "from shardio.storage import waiting\nwaiting.REPORT_SECONDS = 0.3\n"


class Waiting:
    """A process whose standard error stream is read line by line."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        # It ends with the test, whatever happens.
        self._timer = threading.Timer(_SECONDS, self._process.kill)
        self._timer.daemon = True
        self._timer.start()

    def until_reported(self, place: str = "") -> str:
        """Return the first line that says that it waits, for `place`."""
        assert self._process.stderr is not None
        lines: list[str] = []
        for line in self._process.stderr:
            lines.append(line)
            if place in line and "; waiting for up to" in line:
                return line.rstrip("\n")
        self._timer.cancel()
        self._process.wait()
        raise AssertionError(f"it never said that it waits: {''.join(lines)}")

    def interrupt(self) -> tuple[int, list[str]]:
        """Send SIGINT; returns the exit code and what was said from then on."""
        os.kill(self._process.pid, signal.SIGINT)
        _, said = self._process.communicate()
        self._timer.cancel()
        return self._process.returncode, said.splitlines()
