"""Slow tests of one kind have a marker, a target of make, and a part that .ci/run runs."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

from tests.conftest import PARTS

ROOT = Path(__file__).resolve().parents[1]
KILLS = "tests/converter/shards/test_killed_at_each_step.py"
OTHERS = "tests/converter/shards/test_links.py"


def collected(*options: str) -> list[str]:
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [line for line in done.stdout.splitlines() if "::" in line]


def test_each_kind_has_a_target_and_a_part() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]
    markers = settings["ini_options"]["markers"]
    kinds = {marker.partition(":")[0] for marker in markers} - {"slow"}
    assert kinds == PARTS.keys()
    for kind in kinds:
        assert f"\ntest-{kind}: " in (ROOT / "Makefile").read_text()
        assert f"`make test-{kind}`" in (ROOT / "CONTRIBUTING.md").read_text()
    assert "make test-slow PART=1\n" in (ROOT / ".ci" / "run").read_text()


def test_a_part_is_every_nth_test_of_a_kind_and_all_others() -> None:
    slow = collected("-m", "slow", KILLS, OTHERS)
    kills = [test for test in slow if test.startswith(KILLS)]
    assert len(slow) > len(kills) > 1
    left = {*kills} - {*kills[:: PARTS["kills"]]}
    part = collected("-m", "slow", "--part", KILLS, OTHERS)
    assert part == [test for test in slow if test not in left]
