"""The emulated accelerators of benchmarks/mlperf_storage.py, in a small form."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.reader.processes import ROOT

pytest.importorskip("torch")


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))


@pytest.mark.parametrize("start", [1, 3, 40])
def test_the_search_finds_the_last_number_that_is_fed(start: int) -> None:
    from accelerators import Outcome
    from mlperf_storage import most

    for fed in range(21):
        asked: list[int] = []

        def feed(number: int, fed: int = fed, asked: list[int] = asked) -> Outcome:
            asked.append(number)
            # What other work disturbs is tried again.
            disturbed = asked.count(number) == 1
            return Outcome(0.85 if number <= fed and not disturbed else 0.84, 0.0, 0.0)

        assert most(feed, 0.85, start, limit=20) == (fed, True)
        assert max(asked) <= 20
        # Without time it is tried once.
        fed_at_least = min(start, 20) if fed >= min(start, 20) else 0
        sure = fed_at_least == 20 or min(start, 20) - fed_at_least == 1
        assert most(feed, 0.85, start, limit=20, seconds=0) == (fed_at_least, sure)


def test_utilisation_leaves_the_first_step_out() -> None:
    from accelerators import utilisation

    # Ten steps: nine of 0.1 s, within 0.9 s, or within 1.8 s.
    assert utilisation(10, 0.1, 0.9) == pytest.approx(1)
    assert utilisation(10, 0.1, 1.8) == pytest.approx(0.5)


# Two ranks of each way, for one epoch: the images that each gave.
_STREAMS = """
import json, sys
from pathlib import Path
import numpy as np
from mlperf_storage import WORKLOADS, Data
from dataclasses import replace

workload = replace(next(each for each in WORKLOADS if each.name == "resnet50"), batch=2)
data = Data(Path(sys.argv[1]), workload, 16 * workload.size, shards=4)
said = {}
for cold in (False, True):
    for way in data.ways(cold=cold):
        said[way.name] = []
        for rank in range(2):
            batches = iter(way.stream.made(rank, 2))
            firsts = []
            for _ in range(4):
                batch = next(batches)
                x = batch if way.name.endswith("processes") or "files" in way.name else batch[0]
                x = np.asarray(x).reshape(2, -1)
                assert x.shape[1] == workload.size and x.dtype == np.uint8
                firsts += [image[-16:].tobytes().hex() for image in x]
            said[way.name].append(firsts)
files = [Path(path).read_bytes()[-16:].hex() for path in data.ways(cold=False)[0].paths]
print(json.dumps([said, files]))
"""


@pytest.mark.speed
def test_the_ranks_of_each_way_read_every_image_once(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'benchmarks'}"}
    done = subprocess.run(
        [sys.executable, "-c", _STREAMS, str(tmp_path)],
        env={**environment, "TF_CPP_MIN_LOG_LEVEL": "3"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    said, files = json.loads(done.stdout.splitlines()[-1])
    assert len(said) == 5
    assert len(set(files)) == 16
    for name, ranks in said.items():
        together = ranks[0] + ranks[1]
        assert len(set(together)) == 16, name
        if "files" in name:
            assert sorted(together) == sorted(files), name


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "benchmarks/mlperf_storage.py", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.mark.speed
def test_a_small_run_prints_what_each_way_costs(tmp_path: Path) -> None:
    options = ("--folder", tmp_path, "--data", "100MB", "--rounds", 1, "--seconds", 0.2)
    done = run(*options, "--only", "retinanet", "--states", "cold")
    assert done.returncode == 0, done.stderr[-4000:]
    lines = done.stdout.splitlines()
    rows = lines[lines.index("cold") + 2 :]
    assert [row[:20].rstrip() for row in rows] == [
        "tf.data, files",
        "tf.data, shards",
        "DataLoader, files, 2",
        "shardio, shards, win",
    ]
    for row in rows:
        milliseconds, allowed, ratio, _ = row[30:].split()
        assert float(milliseconds) > 0
        assert float(allowed) > 0
        assert float(ratio) > 0


@pytest.mark.speed
def test_a_search_ends_when_its_time_is_over(tmp_path: Path) -> None:
    options = ("--folder", tmp_path, "--data", "100MB", "--rounds", 1, "--seconds", 0.2)
    done = run(*options, "--only", "retinanet", "--states", "warm", "--search", 1)
    assert done.returncode == 0, done.stderr[-4000:]
    lines = done.stdout.splitlines()
    rows = lines[lines.index("warm") + 2 :]
    assert len(rows) == 4
    for row in rows:
        fed, ratio, each = row.split()[-3:]
        assert int(fed) == int(each.rstrip("+")), row
        assert float(ratio) >= 0 or ratio == "inf", row


_SLOW = """
import time
from accelerators import Job, Stream, run

def made(rank, world):
    def batches():
        while True:
            time.sleep(0.05)
            yield 0
    return batches()

if __name__ == "__main__":
    found = run(Stream("slow", "made", {}), 1, Job(40, 0.001, 0.5))
    print(found.au, found.cpu)
"""


def test_a_run_that_cannot_reach_the_target_is_given_up(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(_SLOW)
    environment: dict[str, Any] = {**os.environ, "PYTHONPATH": str(ROOT / "benchmarks")}
    done = subprocess.run(
        [sys.executable, str(tmp_path / "slow.py")],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    utilisation, cpu = done.stdout.split()
    assert 0 < float(utilisation) < 0.5
    assert cpu == "nan"  # it was not measured to the end


_FAILING = """
import sys
from accelerators import Job, Stream, run

def made(rank, world):
    if rank:
        raise ValueError("no shards")
    return iter([0] * 9)

if __name__ == "__main__":
    run(Stream("failing", "made", {}), 2, Job(4, 0.001))
"""


def test_an_accelerator_that_fails_ends_the_run(tmp_path: Path) -> None:
    script = tmp_path / "failing.py"
    script.write_text(_FAILING)
    environment: dict[str, Any] = {**os.environ, "PYTHONPATH": str(ROOT / "benchmarks")}
    done = subprocess.run(
        [sys.executable, str(script)], env=environment, stderr=subprocess.PIPE, text=True
    )
    assert done.returncode == 1
    assert "an accelerator has failed: [1]" in done.stderr
    assert "ValueError: no shards" in done.stderr


def test_too_little_data_is_refused(tmp_path: Path) -> None:
    from mlperf_storage import WORKLOADS, Data

    with pytest.raises(SystemExit, match="less than one image for each of 64 shards"):
        Data(tmp_path, replace(WORKLOADS[0], batch=1), 1000)
