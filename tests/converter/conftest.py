"""Input that many tests share."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.converter.inputs import write_input


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of 60 good rows; nobody writes to it."""
    return write_input(tmp_path_factory.mktemp("input"), 60)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of a megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if mount.returncode:
        pytest.skip("a full disk needs the right to mount a tmpfs")
    yield folder
    with suppress(OSError):
        subprocess.run(["umount", "-l", str(folder)], check=True)
