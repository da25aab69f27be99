"""times.json beside the shards: the work of all runs that made them; nothing depends on it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from converter import ConvertOptions, Summary, convert
from converter.engines.protocol import NoProgress
from reader import open_shards
from reader.commands.cli import main
from shardio.format.done import DoneRecord
from shardio.format.encoding import Encoding
from shardio.format.manifest import Manifest
from shardio.format.times import ConversionTimes, Times
from shardio.format.transform import Transform
from tests.converter.inputs import contents, environment, write_csv, write_images

SHARDS = 4
OPTIONS = ConvertOptions(transform=Transform(None, (40, 20)), shards=SHARDS)
ROWS = 40


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A table of forty images, of which one is missing."""
    names = write_images(tmp_path / "images", 5, (80, 40))
    rows = [[f"images/{names[n % 5]}", n] for n in range(ROWS - 1)]
    return write_csv(tmp_path / "t.csv", ["path", "y0"], [*rows, ["images/none.png", 0]])


def go(table: Path, out: Path, options: ConvertOptions = OPTIONS, **how: Any) -> Summary:
    return convert(str(table), str(out), options, **{"engine": "inline", "max_rejects": "1", **how})


def times_of(out: Path) -> ConversionTimes:
    return ConversionTimes.from_json((out / "times.json").read_bytes(), "times.json")


@pytest.mark.parametrize(("engine", "workers"), [("inline", 1), ("processes", 2)])
def test_each_step_has_its_time(table: Path, tmp_path: Path, engine: str, workers: int) -> None:
    out = tmp_path / "out"
    options = ConvertOptions(transform=OPTIONS.transform, shards=SHARDS, encoding=Encoding("png"))
    summary = go(table, out, options, engine=engine, workers=workers)
    times = times_of(out)
    assert times.plan_sha256 == Manifest.from_json((out / "dataset.json").read_bytes()).plan_sha256
    assert times.images == times.last_run.images == ROWS
    assert (times.last_run.engine, times.last_run.workers) == (engine, workers)
    assert times.work_seconds == summary.times.rounded()
    assert min(vars(times.work_seconds).values()) > 0
    # No worker works longer than the run takes.
    work = sum(vars(times.work_seconds).values())
    assert 0 < work <= workers * (times.last_run.seconds + 0.001)


_KILLED = """
import os, signal, sys
from converter import convert
from converter.engines.protocol import NoProgress
from tests.converter.report.test_time_spent import OPTIONS

class Killed(NoProgress):
    told = 0
    def advance(self, *counts):
        self.told += bool(counts[0])
        if self.told == 3:
            os.kill(os.getpid(), signal.SIGKILL)

convert(sys.argv[1], sys.argv[2], OPTIONS, engine="inline", max_rejects="1", progress=Killed())
"""


@pytest.mark.parametrize("engine", ["inline", "processes"])
def test_runs_after_a_kill_add_up(table: Path, tmp_path: Path, engine: str) -> None:
    out = tmp_path / "out"
    killed = subprocess.run(
        [sys.executable, "-c", _KILLED, str(table), str(out)], env=environment(), check=False
    )
    assert killed.returncode == -signal.SIGKILL
    kept = Times()
    for path in (out / ".shardio" / "done").iterdir():
        if (out / path.name.removesuffix(".json")).exists():
            seconds = DoneRecord.from_json(path.read_bytes(), path.name).seconds
            assert seconds is not None
            kept.add(seconds)
    assert not (out / "times.json").exists()
    summary = go(table, out, engine=engine, workers=1 if engine == "inline" else 2)
    assert 0 < summary.shards_kept < SHARDS
    times = times_of(out)
    assert times.images == ROWS
    assert times.last_run.images == summary.images < ROWS
    kept.add(summary.times)
    assert kept.reading > summary.times.reading
    assert vars(times.work_seconds) == pytest.approx(vars(kept), abs=1e-5)
    go(table, tmp_path / "fresh")
    assert contents(out) == contents(tmp_path / "fresh")


def test_a_repair_leaves_the_times_of_the_conversion(table: Path, tmp_path: Path) -> None:
    """Nothing is known any more of the shards that it keeps."""
    out = tmp_path / "out"
    go(table, out)
    before = (out / "times.json").read_bytes()
    shard = min(out.glob("*.tfrecord"))
    shard.unlink()
    assert go(table, out, repair=True).shards_made == 1
    assert (out / "times.json").read_bytes() == before
    for path in (shard, out / "times.json"):
        path.unlink()
    assert go(table, out, repair=True).shards_made == 1
    assert not (out / "times.json").exists()
    # Of shards that are all made again it is.
    for path in out.glob("*.tfrecord"):
        path.unlink()
    go(table, out, repair=True)
    assert times_of(out).images == ROWS


class StopEarly(NoProgress):
    """Stops before the set is finished."""

    def advance(self, images: int, bytes_read: int, rejected: int, bytes_written: int) -> None:
        raise KeyboardInterrupt


def test_a_set_that_is_overwritten_loses_its_times(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    go(table, out)
    with pytest.raises(KeyboardInterrupt):
        go(table, out, overwrite=True, progress=StopEarly())
    assert not (out / "times.json").exists()
    go(table, out)
    assert times_of(out).images == ROWS


def test_a_set_is_the_same_without_its_times(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    go(table, out)
    wanted = open_shards(out).labels_array()["y0"].tolist()
    before = contents(out)
    for damaged in (True, False):
        (out / "times.json").unlink()
        if damaged:
            (out / "times.json").write_bytes(b"{")
        assert main(["verify", str(out)]) == 0
        assert open_shards(out).labels_array()["y0"].tolist() == wanted
        assert open_shards(str(out / "*")).labels_array()["y0"].tolist() == wanted
        assert go(table, out).complete_before
        assert contents(out) == before
    capsys.readouterr()
