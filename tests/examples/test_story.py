"""The benchmark of the first user's story runs, in a small form."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.speed
def test_it_measures_both_ways(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow")
    command = [sys.executable, str(ROOT / "benchmarks" / "story.py"), "--images", "128"]
    command += ["--epochs", "1", "--rounds", "1", "--folder", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    found = {line[0]: line[1:] for line in lines if line[0] in ("generator", "to_keras")}
    assert list(found) == ["generator", "to_keras"]
    for rate, memory, unit, waiting, ratio in found.values():
        assert int(rate) > 0
        assert (int(memory.replace(",", "")) > 50, unit) == (True, "MB")
        assert re.fullmatch(r"\d+\.\d%", waiting)
        assert float(ratio) > 0
