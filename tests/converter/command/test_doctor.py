"""`shardio-convert doctor` measures the usual way and the shards of the same images."""

from __future__ import annotations

import json
import os
import re
import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from converter.command.cli import main
from converter.command.doctor import _lines, verdict
from converter.imaging.old_way import _pixels
from converter.imaging.transformer import ImageTransformer
from converter.report.trial import Trial, begin_old_way
from shardio.format.transform import Transform
from shardio.measure.measured import Measured
from shardio.measure.memory import Memory
from tests.converter.inputs import write_csv, write_images

Output = pytest.CaptureFixture[str]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    names = write_images(tmp_path / "images", 40, (80, 60))
    rows = [[f"images/{name}", number % 3] for number, name in enumerate(names)]
    return write_csv(tmp_path / "t.csv", ["path", "y0"], rows)


@pytest.mark.parametrize(
    "transform",
    [
        Transform(size=(20, 12)),
        Transform((10, 5, 70, 55), (20, 12)),
        Transform((10, 5, 70, 55), (60, 50), channels=1),
    ],
)
def test_the_usual_way_makes_the_same_images(tmp_path: Path, transform: Transform) -> None:
    (name,) = write_images(tmp_path, 1, (80, 60))
    data = (tmp_path / name).read_bytes()
    assert _pixels(data, transform, None).tobytes() == ImageTransformer(transform).pixels(data)


def test_the_usual_way_counts_what_it_asks_for(tmp_path: Path) -> None:
    names = write_images(tmp_path, 5, (80, 60))
    (tmp_path / names[2]).write_bytes(b"no image")
    places = [str(tmp_path / name) for name in names]
    run = begin_old_way(places, None, [None] * 5, Transform(size=(8, 8)))
    took, asked = run(4)
    assert (took.images, asked) == (3, 4)


@pytest.mark.speed
def test_a_table_is_tried(table: Path, tmp_path: Path, capsys: Output) -> None:
    before = set(os.listdir(tempfile.gettempdir()))
    assert main(["doctor", str(table), "--size", "16x8", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["rows"], said["images"], said["rejected"]) == (40, 40, 0)
    assert said["bytes_of_all"] == 40 * said["record_bytes"]
    assert said["record_bytes"] > 16 * 8 * 3
    for part in ("usual_first_pass", "usual"):
        assert said[part]["images_per_second"] > 0
        assert said[part]["cpu_seconds_per_million"] > 0
    assert said["usual"]["resident"] > 0
    ways = [way["name"] for way in said["shards"]]
    assert ways[0] == "NumPy"
    assert {"NumPy", "tf.data"} <= {*ways, *said["left_out"]}
    assert 0 <= said["others"] <= 1
    assert re.search("usual generator", said["verdict"])
    left = set(os.listdir(tempfile.gettempdir())) - before
    assert not [name for name in left if name.startswith("shardio-trial-")]
    assert sorted(os.listdir(tmp_path)) == ["images", "t.csv"]


def test_the_verdict_says_that_the_machine_is_busy() -> None:
    rate = Measured(100, 1.0, 1.0)
    ways = [
        {"name": "NumPy", "images_per_second": 5000.0, "cpu_seconds_per_million": 5, "peak_rss": 1}
    ]
    quiet = Trial(100, 100, 0, rate, rate, Memory(1, 1), rate, 1600.0, "", ways, [], 0.05)
    assert "at 5,000 by batches, 50 times as fast; run" in verdict(quiet)
    assert "other programs" not in verdict(quiet)
    busy = verdict(replace(quiet, others=0.4))
    assert busy.startswith(verdict(quiet))
    assert ". But other programs took 40% of this machine's CPU time meanwhile, so that" in busy
    lines = _lines(replace(quiet, left_out=["tf.data", "torch"]), "")
    assert "there was no time for tf.data, torch: the machine is too slow" in lines


def said(capsys: Output, *words: object) -> str:
    """Run the command, which fails; returns what it says."""
    with suppress(SystemExit):  # of wrong arguments
        assert main(["doctor", *map(str, words)]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "Traceback" not in printed.err
    return printed.err


def test_tables_that_cannot_be_tried(table: Path, tmp_path: Path, capsys: Output) -> None:
    assert "nothing.csv" in said(capsys, tmp_path / "nothing.csv")
    assert "no option --sise" in said(capsys, table, "--sise", "8x8")
    for path in (tmp_path / "images").iterdir():
        path.write_bytes(b"no image")
    assert "can be used" in said(capsys, table, "--size", "16x8")
