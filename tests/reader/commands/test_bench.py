"""`bench` measures what it says it does, and the stock reader reads the same images."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reader import open_shards
from reader.commands.cli import main
from reader.measure.stock import stock
from tests.reader.datasets import OTHER_KINDS, write_dataset
from tests.reader.foreign_files import Foreign

Output = pytest.CaptureFixture[str]


def said(capsys: Output, *words: str) -> str:
    """Run the command, which fails; returns its one line."""
    with suppress(SystemExit):  # of wrong arguments
        assert main(["bench", *words]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    return printed.err


def samples(batches: Any) -> list[tuple[bytes, ...]]:
    """The images with their labels, as bytes, in an order of their own."""
    found = []
    for x, ys in batches:
        ys = ys if isinstance(ys, tuple | list) else [ys]
        parts = [np.asarray(part) for part in (x, *ys)]
        parts = [part.astype(np.int64) if part.dtype == np.int32 else part for part in parts]
        found += [tuple(part[at].tobytes() for part in parts) for at in range(len(parts[0]))]
    return sorted(found)


@pytest.mark.parametrize("shuffled", [0, 10])
def test_stock_reads_the_same(tmp_path: Path, shuffled: int) -> None:
    made = write_dataset(tmp_path / "raw", (8, 0, 8, 16), more=OTHER_KINDS)
    shards = open_shards(made.glob)
    ours = samples(shards.batches(4, dtype="uint8"))
    assert len(ours) == 32
    assert samples(stock(shards, 4, shuffled=shuffled)) == ours


def test_stock_reads_the_same_of_encoded_shards(tmp_path: Path) -> None:
    shards = open_shards(Foreign(tmp_path, "PNG", (6, 0, 10)).glob, labels=["image/class/label"])
    assert samples(stock(shards, 4, shuffled=0)) == samples(shards.batches(4, dtype="uint8"))


@pytest.mark.speed
def test_every_way_is_measured(tmp_path: Path, capsys: Output) -> None:
    made = write_dataset(tmp_path / "set", (600, 400))
    words = ["bench", str(made.folder), "--against", "stock", "--rounds", "1"]
    assert main([*words, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    ways = {way["name"]: way for way in said["ways"]}
    assert {"NumPy", "tf.data", "keras", "stock tf.data"} <= set(ways)
    for way in ways.values():
        assert 0 < way["least"] <= way["images_per_second"] <= way["most"]
        assert way["cpu_seconds_per_million"] > 0
        assert 0 < way["own_memory"] <= way["peak_rss"]
    assert ways["stock tf.data"]["ratio"] == 1


@pytest.mark.speed
def test_ways_that_begin_late_are_left_out(tmp_path: Path, capsys: Output) -> None:
    made = write_dataset(tmp_path / "set", (600, 400))
    words = ["bench", str(made.folder), "--rounds", "1", "--limit", "1"]
    assert main([*words, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    ways = [way["name"] for way in said["ways"]]
    assert ways[0] == "NumPy"
    assert {"tf.data", "keras"} <= {*ways, *said["left_out"]}
    assert not {*ways} & {*said["left_out"]}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--batch-size", "1001"], "the set has 1,000 records, fewer than a batch"),
        (["--batch-size", "0"], "must be at least 1, not 0"),
        (["--against", "stok"], "did you mean stock?"),
    ],
)
def test_what_cannot_be_measured_is_said(
    tmp_path: Path, capsys: Output, more: list[str], message: str
) -> None:
    made = write_dataset(tmp_path / "set", (600, 400))
    assert message in said(capsys, str(made.folder), *more)


def test_stock_is_for_local_shards_of_one_size(tmp_path: Path, capsys: Output) -> None:
    made = write_dataset(tmp_path / "set")
    words = ["--batch-size", "4", "--against", "stock"]
    assert "copy the shards to a disk" in said(capsys, f"file://{made.folder}", *words)
    foreign = Foreign(tmp_path / "foreign")
    more = ["--size", "8x8", "--labels", ""]
    assert "leave out --size" in said(capsys, foreign.glob, *more, *words)


def test_a_damaged_shard_is_named(tmp_path: Path, capsys: Output) -> None:
    made = write_dataset(tmp_path / "set", (600, 400))
    data = bytearray(made.shard(1).read_bytes())
    data[len(data) // 2] ^= 1
    made.shard(1).write_bytes(data)
    error = said(capsys, str(made.folder), "--rounds", "1")
    assert f"{made.shard(1).name}: record" in error
