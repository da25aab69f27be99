"""What benchmarks/scale.py computes of large sets, against streams of a small one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.reader.processes import ROOT

SCRIPT = ROOT / "benchmarks/scale.py"


@pytest.mark.speed
def test_streams_read_what_is_computed(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), "--check", "--folder", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("computed") == 5


@pytest.mark.speed
def test_a_wrong_computation_is_noticed(tmp_path: Path) -> None:
    """A block more a window than there is, and the check fails."""
    text = "import scale\nreal = scale.reads_of\n"
    text += "scale.reads_of = lambda job, rank: real(scale.replace(job, block=job.block + 1), rank)"
    text += f"\nscale.check(scale.argparse.Namespace(folder={str(tmp_path)!r}, hdfs=False))"
    command = [sys.executable, "-c", text]
    done = subprocess.run(command, cwd=SCRIPT.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "figures are not those computed" in done.stderr


def test_a_cache_pays_after_as_many_epochs_as_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    from scale import Job, cached_traffic

    job = Job(records=1 << 20, stride=1000, shards=64, world=16, batch=32, block=100, window=4)
    for machines in (1, 4, 16):
        for shards in (1, 32, 64):
            kept = shards * job.size // 64
            totals = cached_traffic(job, machines, kept, 100)
            pays = next(n for n, (without, read) in enumerate(totals, 1) if read < without)
            assert pays == machines + 2
