"""What a summary says of a run: where the rows went, where the time went, what would help."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from converter import ConvertOptions, Summary, convert
from converter.report.summary import HINTS
from converter.shards.accounts import SplitAccount, accounts_of
from shardio.errors import FormatError, RejectsError
from shardio.format.done import DoneRecord, Reject
from shardio.format.naming import ShardName
from shardio.format.plan import PlannedSplit
from shardio.format.times import Times
from shardio.format.transform import Transform
from tests.converter.inputs import environment, write_csv, write_images


@pytest.mark.parametrize("part", sorted(HINTS))
def test_the_largest_part_is_named_with_its_share(part: str) -> None:
    times = Times(**{**dict.fromkeys(HINTS, 1.0), part: 2.0})
    summary = Summary("out", 3, images=100, seconds=6.0, times=times)
    hint = summary.hint()
    assert hint is not None
    assert hint.startswith(f"{part} is the largest part, 33%: ")
    assert f"hint      {hint}" in summary.lines()
    assert summary.to_json()["hint"] == hint
    summary.seconds = 4.0
    assert summary.to_json()["hint"] is None
    assert not [line for line in summary.lines() if line.startswith("hint")]


def test_every_part_of_the_work_has_a_hint() -> None:
    assert set(vars(Times())) == set(HINTS)


def test_a_real_run_says_what_would_help(tmp_path: Path) -> None:
    names = write_images(tmp_path, 4, (200, 100))
    table = write_csv(tmp_path / "t.csv", ["path", "y0"], [[names[n % 4], 1] for n in range(300)])
    code = (
        "import sys\nfrom converter.report import summary\nsummary._LONG_SECONDS = 0.01\n"
        "from converter.command.cli import main\nsys.exit(main(sys.argv[1:]))"
    )
    arguments = [str(table), "out", "--crop", "none", "--size", "8x8", "--engine", "inline"]
    found = []
    for extra in (["--json"], ["--overwrite"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments, *extra],
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            check=True,
        )
        found.append(done.stdout)
    work = json.loads(found[0])["work_seconds"]
    largest = max(work, key=lambda part: float(work[part]))
    share = work[largest] / sum(work.values())
    told = re.match(rf"{largest} is the largest part, (\d+)%: ", json.loads(found[0])["hint"])
    assert told is not None
    assert abs(int(told[1]) - 100 * share) < 2  # the seconds beside it are rounded
    assert "\nhint      " in found[1]


def test_each_split_is_accounted_for(tmp_path: Path) -> None:
    names = write_images(tmp_path, 4, (60, 40))
    rows = [
        [names[n % 2 + 2 * (n % 3 == 2)], n, ["train", "train", "val"][n % 3]] for n in range(30)
    ]
    rows += [["none.png", 1, "val"], ["neither.png", 1, "val"], ["nowhere.png", 2, "train"]]
    table = write_csv(tmp_path / "t.csv", ["path", "y0", "split"], rows)
    options = ConvertOptions(transform=Transform(None, (8, 8)), shards=5)
    out = str(tmp_path / "out")
    for _ in range(2):  # a finished set says the same
        summary = convert(str(table), out, options, engine="inline", max_rejects="3")
        assert summary.splits == [
            SplitAccount("train", 21, 20, 1),
            SplitAccount("val", 12, 10, 2),
        ]
        assert summary.to_json()["splits"] == {
            "train": {"read": 21, "written": 20, "rejected": 1},
            "val": {"read": 12, "written": 10, "rejected": 2},
        }
    summary.complete_before = False
    assert "split     train: 21 read = 20 written + 1 rejected" in summary.lines()
    summary.splits.pop()
    assert not [line for line in summary.lines() if line.startswith("split")]


def done(name: ShardName, records: int, rejects: int) -> tuple[ShardName, DoneRecord]:
    rows = tuple(Reject(row, "a", "b") for row in range(rejects))
    return name, DoneRecord(str(name), records, records * 9, "0" * 64, 1, 2, rows)


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        # The sum over the splits is right in each of them.
        ({"a": (5, 0), "b": (3, 2)}, "split a: 4 rows were read, but 5 written and 0 rejected"),
        ({"a": (3, 0), "b": (6, 1)}, "split a: 4 rows were read, but 3 written and 0 rejected"),
        ({"a": (4, 0), "b": (6, 1)}, "split b: 6 rows were read, but 6 written and 1 rejected"),
        ({"a": (4, 0)}, "split b: 6 rows were read, but 0 written .* in 0 of 1 shard;"),
    ],
)
def test_a_split_that_does_not_add_up_fails(counts: dict[str, tuple[int, int]], text: str) -> None:
    splits = [PlannedSplit("a", 4, 1), PlannedSplit("b", 6, 1)]
    finished = dict(done(ShardName(split, 0, 1), *count) for split, count in counts.items())
    with pytest.raises(FormatError, match=text):
        accounts_of(splits, finished)


def test_a_set_without_a_record_is_an_error_whatever_is_allowed(tmp_path: Path) -> None:
    names = write_images(tmp_path, 4)
    rows = [["none.png", 0, "train"], *([name, 0, "val"] for name in names)]
    table = write_csv(tmp_path / "t.csv", ["path", "y0", "split"], rows)
    options = ConvertOptions(transform=Transform((0, 0, 9, 9)))
    summary = convert(str(table), str(tmp_path / "a"), options, engine="inline", max_rejects="100%")
    assert "split train is empty: all of its 1 row was rejected" in summary.warnings()
    outside = ConvertOptions(transform=Transform((0, 0, 9, 9000)))
    out = tmp_path / "b"
    for _ in range(2):
        with pytest.raises(RejectsError, match="none of the 5 images can be used") as error:
            convert(str(table), str(out), outside, engine="inline", max_rejects="100%")
        assert "reaches outside the image" in str(error.value)
        assert not (out / "dataset.json").exists()
    write_images(tmp_path, 1, (9, 9000))  # it is mended, and the run goes on
    assert convert(str(table), str(out), outside, engine="inline", max_rejects="100%").records == 1
