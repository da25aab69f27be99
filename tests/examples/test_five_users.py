"""Five users come from their images to a first epoch with two commands."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.converter.inputs import environment

SCRIPT = Path(__file__).parents[2] / "examples" / "five_users.py"


@pytest.mark.jobs
@pytest.mark.parametrize("user", ["photos", "captchas", "csv", "parquet", "lmdb"])
def test_two_commands_are_enough(tmp_path: Path, user: str) -> None:
    pytest.importorskip("tensorflow")
    run = subprocess.run(
        [sys.executable, str(SCRIPT), str(tmp_path / "sets"), "--user", user],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    commands = [line for line in run.stdout.splitlines() if line.startswith("$ ")]
    assert len(commands) == 2
    assert "600 read = 600 written + 0 rejected" in run.stdout
    assert re.search(
        r"^epoch 1: loss [0-9.]+, held out [0-9.]+, accuracy [0-9.]+%", run.stdout, re.M
    )
