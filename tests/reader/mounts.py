"""Mounts for tests: made by the command line, as users make them, and taken away at the end."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from ctypes.util import find_library
from pathlib import Path

import pytest

from reader.mount.mount_point import file_system, is_served

_SECONDS = 120
ROOT = Path(__file__).resolve().parents[2]


def need_fuse() -> None:
    """Skip where nothing can be mounted; fail there in continuous integration."""
    missing = "" if os.access("/dev/fuse", os.R_OK | os.W_OK) else "/dev/fuse"
    missing = missing or ("" if shutil.which("fusermount3") else "fusermount3")
    missing = missing or ("" if find_library("fuse3") else "libfuse3")
    if not missing:
        return
    reason = f"nothing can be mounted: {missing} is missing"
    # A container may have no device at all; what can be installed must be.
    if os.environ.get("CI") == "true" and missing != "/dev/fuse":
        pytest.fail(reason)
    pytest.skip(reason)


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "reader", *map(str, arguments)]


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end."""
    return subprocess.run(
        command(*arguments), cwd=ROOT, capture_output=True, text=True, timeout=_SECONDS
    )


def wait_until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + _SECONDS
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


class Mount:
    """A mount in the foreground of a process of its own."""

    def __init__(self, url: object, point: Path, *options: str) -> None:
        self.url = str(url)
        self.point = point
        self.process = subprocess.Popen(
            command("mount", url, point, *options),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        # A dead mount may be there still.
        wait_until(
            lambda: (self.is_up and is_served(str(point))) or self.process.poll() is not None
        )
        if self.process.poll() is not None:
            pytest.fail(f"not mounted: {self.process.communicate()[1]}")
        os.stat(point)

    @property
    def is_up(self) -> bool:
        return file_system(str(self.point)) is not None

    @property
    def memory(self) -> int:
        """The most bytes of memory that the process ever had."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmHWM:\s*(\d+) kB", status)
        assert found
        return int(found[1]) << 10

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Send a signal; returns the exit code and what was written to stderr."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        _, said = self.process.communicate(timeout=_SECONDS)
        return self.process.returncode, said

    def take_away(self) -> None:
        """Leave nothing behind, whatever has happened."""
        if self.process.poll() is None:
            self.process.kill()
        if self.process.stdout and not self.process.stdout.closed:
            self.process.communicate()
        take_away(self.point)


def take_away(point: Path) -> None:
    """Unmount without asking."""
    while file_system(str(point)) is not None:
        subprocess.run(["fusermount3", "-u", "-z", point], check=True)
