"""What benchmarks/counting.py prints."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.reader.processes import ROOT


def test_the_cost_of_counting_is_a_share_of_a_batch(tmp_path: Path) -> None:
    command = [sys.executable, "benchmarks/counting.py", "--folder", str(tmp_path)]
    command += ["--records", "256", "--rounds", "2"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    heading, cost, *cases = done.stdout.splitlines()
    assert heading.startswith("batches of 128")
    assert cost.startswith("counting takes")
    assert len(cases) == 3
    assert all(case.endswith("%") for case in cases)
