"""`--drop`: rows that are left out, in every engine, and in runs that go on."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from converter import ConvertOptions, convert
from converter.command.cli import main
from reader import ShardSet, open_shards
from reader.commands.cli import main as read
from shardio.errors import FormatError, OptionError, OutputError, RejectsError
from shardio.format.done import LEFT_OUT
from shardio.format.layout import RecordLayout
from shardio.format.transform import Transform
from tests.converter.inputs import contents, write_csv, write_images

OPTIONS = ConvertOptions(transform=Transform(None, (4, 2)), shards=4)
DROPPED = [0, 3, 17, 29]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Thirty rows in two splits; the image of row 17 is missing, that of 20 is no image."""
    names = write_images(tmp_path / "images", 30, (8, 4))
    (tmp_path / "images" / names[17]).unlink()
    (tmp_path / "images" / names[20]).write_bytes(b"none")
    rows = [[f"images/{x}", n % 5, "train" if n % 3 else "val"] for n, x in enumerate(names)]
    return write_csv(tmp_path / "t.csv", ["path", "y0", "split"], rows)


def rows_file(folder: Path, rows: list[int], name: str = "rows.csv") -> str:
    (folder / name).write_text("row\n" + "".join(f"{row}\n" for row in rows))
    return str(folder / name)


def run(table: Path, out: Path, drop: str | None, **how: Any) -> Any:
    how = {"engine": "inline", "max_rejects": "1", **how}
    return convert(str(table), str(out), OPTIONS, drop=drop, **how)


def by_row(shards: ShardSet) -> dict[int, tuple[bytes, int]]:
    """Return the pixels and the label of each row."""
    batches = shards.batches(1, shuffle="none", dtype="uint8", rows=True)
    return {int(rows[0]): (x.tobytes(), int(y[0])) for x, y, rows in batches}


@pytest.mark.parametrize("engine", ["inline", "processes"])
def test_rows_are_left_out_and_the_others_stay(table: Path, tmp_path: Path, engine: str) -> None:
    run(table, tmp_path / "all", None, max_rejects="2")
    summary = run(table, tmp_path / "some", rows_file(tmp_path, DROPPED), engine=engine)
    whole, part = (open_shards(tmp_path / name, "*") for name in ("all", "some"))
    expected = {row: x for row, x in by_row(whole).items() if row not in DROPPED}
    assert by_row(part) == expected
    # In the same order, and in the same shards.
    wanted = [row for row in whole.labels_of("row").tolist() if row not in DROPPED]
    assert part.labels_of("row").tolist() == wanted
    assert (summary.records, summary.rejected, summary.dropped) == (25, 5, 4)
    manifest = json.loads((tmp_path / "some" / "dataset.json").read_text())
    assert manifest["rows"] == {"read": 30, "written": 25, "rejected": 5}
    with (tmp_path / "some" / "rejects.csv").open(newline="") as file:
        reasons = {int(line["row"]): line["reason"] for line in csv.DictReader(file)}
    assert [row for row, reason in reasons.items() if reason == LEFT_OUT] == DROPPED
    assert sorted(reasons) == [0, 3, 17, 20, 29]
    assert "5 rejected, 4 of them by --drop (see rejects.csv)" in "\n".join(summary.lines())
    assert read(["verify", str(tmp_path / "some")]) == 0


def test_it_does_not_matter_how_rows_are_named(table: Path, tmp_path: Path) -> None:
    run(table, tmp_path / "a", rows_file(tmp_path, DROPPED))
    names = [line.split(",")[0] for line in table.read_text().splitlines()[1:]]
    lines = "".join(f"{names[row]},{row},x\n" for row in reversed(DROPPED))
    (tmp_path / "b.csv").write_text(f"path,row,why\n{lines}{lines}")
    run(table, tmp_path / "b", str(tmp_path / "b.csv"))
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    # What was rejected, or left out, is such a list itself.
    rejects = str(tmp_path / "a" / "rejects.csv")
    summary = run(table, tmp_path / "c", rejects, max_rejects="0")
    assert (summary.records, summary.dropped) == (25, 5)


def test_only_other_rejects_count(table: Path, tmp_path: Path) -> None:
    with pytest.raises(RejectsError, match="2 rows were rejected"):
        run(table, tmp_path / "out", None)
    with pytest.raises(RejectsError, match="1 row was rejected"):
        run(table, tmp_path / "none", rows_file(tmp_path, [0, 3, 5, 17]), max_rejects="0")
    assert run(table, tmp_path / "done", rows_file(tmp_path, [17, 20]), max_rejects="0").dropped


def test_a_run_goes_on_with_the_same_rows_alone(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop = rows_file(tmp_path, DROPPED)
    run(table, tmp_path / "whole", drop)
    out = tmp_path / "out"
    with pytest.raises(RejectsError):
        run(table, out, drop, max_rejects="0")
    for other, said in (
        (None, "dropped was"),
        (rows_file(tmp_path, [1, 2], "other.csv"), r"dropped.rows was 4, now it is 2"),
        (rows_file(tmp_path, [0, 3, 17, 28], "near.csv"), r"dropped.sha256 was"),
    ):
        with pytest.raises(OutputError, match=said):
            run(table, out, other)
    summary = run(table, out, drop)
    assert summary.shards_kept
    assert contents(out) == contents(tmp_path / "whole")
    assert not summary.looked_at or summary.looked_at == 1  # that of row 20 alone


def test_a_finished_set_is_compared(table: Path, tmp_path: Path) -> None:
    drop = rows_file(tmp_path, DROPPED)
    run(table, tmp_path / "some", drop)
    summary = run(table, tmp_path / "some", drop)
    assert summary.complete_before
    assert summary.sample is not None
    assert summary.sample.same
    with pytest.raises(OutputError, match="or --drop"):
        run(table, tmp_path / "some", None)
    run(table, tmp_path / "all", None, max_rejects="2")
    with pytest.raises(OutputError, match="dropped was not there, now it is"):
        run(table, tmp_path / "all", drop)


def test_repair_leaves_them_out(table: Path, tmp_path: Path) -> None:
    drop = rows_file(tmp_path, DROPPED)
    run(table, tmp_path / "set", drop)
    before = contents(tmp_path / "set")
    shard = next((tmp_path / "set").glob("train-*.tfrecord"))
    shard.unlink()
    run(table, tmp_path / "set", drop, repair=True)
    assert contents(tmp_path / "set") == before


def test_images_of_a_table_are_left_out_too(tmp_path: Path) -> None:
    names = write_images(tmp_path, 8, (8, 4))
    images = [{"bytes": (tmp_path / name).read_bytes(), "path": None} for name in names]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    pq.write_table(
        pa.table({"image": pa.array(images, kind), "y0": range(8)}), tmp_path / "t.parquet"
    )
    summary = run(tmp_path / "t.parquet", tmp_path / "set", rows_file(tmp_path, [2, 7]))
    assert (summary.records, summary.dropped) == (6, 2)
    assert sorted(open_shards(tmp_path / "set").labels_of("row")) == [0, 1, 3, 4, 5, 6]


def test_images_that_are_left_out_settle_no_size(tmp_path: Path) -> None:
    write_images(tmp_path / "a", 6, (8, 4))
    write_images(tmp_path / "b", 2, (6, 6))
    names = sorted((tmp_path / "a").iterdir()) + sorted((tmp_path / "b").iterdir())
    table = write_csv(tmp_path / "t.csv", ["path", "y0"], [[str(name), 0] for name in names])
    summary = convert(
        str(table), str(tmp_path / "set"), drop=rows_file(tmp_path, [6, 7]), engine="inline"
    )
    assert open_shards(tmp_path / "set").shape == (4, 8, 3)
    assert summary.records == 6


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("row\n30\n", OptionError, "lists row 30, and .* has 30 rows, counted from 0"),
        ("row,path\n3,images/none.png\n", OptionError, "another table: row 3 is 'images/none.png'"),
        ("member,row\n0,3\n", OptionError, "several joined sets"),
        ("".join(f"{n}\n" for n in range(30)), OptionError, "nothing is left"),
        ("path\na\n", FormatError, "must name a column row"),
        ("row,row\n3,4\n", FormatError, "2 columns row"),
    ],
)
def test_what_is_no_list_of_the_table_is_refused(
    table: Path, tmp_path: Path, text: str, error: type[Exception], said: str
) -> None:
    (tmp_path / "rows.csv").write_text(text)
    with pytest.raises(error, match=said):
        run(table, tmp_path / "out", str(tmp_path / "rows.csv"))
    assert not (tmp_path / "out").exists()


def test_the_command_takes_it(table: Path, tmp_path: Path) -> None:
    words = [str(table), str(tmp_path / "out"), "--size", "4x2", "--engine", "inline", "--quiet"]
    assert main([*words, "--drop", rows_file(tmp_path, [17, 20])]) == 0
    assert len(open_shards(tmp_path / "out", "*")) == 28


def test_what_is_said_is_of_the_rows_that_are_left(table: Path, tmp_path: Path) -> None:
    """Labels and splits are counted, and a share of rejects is taken, as of a table without them;
    the classes keep their numbers.
    """
    lines = table.read_text().splitlines()[1:]
    gone = [row for row, line in enumerate(lines) if line.split(",")[1] == "4" or row % 3 == 0]
    drop = rows_file(tmp_path, gone)
    for dry_run in (True, False):
        summary = run(table, tmp_path / "set", drop, dry_run=dry_run, max_rejects="2")
        (head,) = summary.heads
        assert (head.classes, head.seen, head.first_unseen) == (5, 4, ("4",))
        left = [line.split(",")[1] for row, line in enumerate(lines) if row not in gone]
        assert head.most[1] == max(map(left.count, left))
        assert "split val is empty: --drop leaves no row of it" in summary.warnings()
        assert not [first for first in summary.first_rows if int(first.split(":")[0]) in gone]
        if dry_run:
            assert f"30 rows, {len(gone)} of them left out by --drop, would" in summary.lines()[0]
            assert summary.bytes == (30 - len(gone)) * open_stride()
    assert open_shards(tmp_path / "set", "*").labels[0].classes == 5
    # 5 % of 30 rows are one, of the 16 that are left none.
    with pytest.raises(RejectsError, match="5% allows 0 of 16 rows"):
        run(table, tmp_path / "few", drop, max_rejects="5%")


def open_stride() -> int:
    """Return the bytes of a record of OPTIONS with one label."""
    return RecordLayout(4 * 2 * 3, ("y0",)).stride
