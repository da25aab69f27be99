"""Labels of floats, and of several numbers in a cell: from the table to the batch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converter import ConvertOptions, convert
from converter.command.cli import main
from converter.table.cells.numbers_column import NumbersColumn
from converter.table.cells.other_heads import OtherHeads
from converter.table.read_table import read_table
from converter.table.table import Table
from reader import open_shards
from shardio.errors import OptionError, TableError
from shardio.format.label import FLOAT, INT, LabelKind, floats_of
from shardio.format.transform import Transform
from tests.converter.inputs import write_csv, write_images

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
INTEGERS = st.integers(0, 2**31 - 1)


def read(path: Path, **how: Any) -> Table:
    return read_table(str(path), **{"labels": None, "classes": None, **how})


def spelled(draw: st.DrawFn, values: list[Any]) -> str:
    """A cell of a CSV with these numbers."""
    between = draw(st.sampled_from([" ", "  ", "\t"]))
    words = [repr(value) for value in values]
    if draw(st.booleans()):
        return f"[{draw(st.sampled_from([', ', ',', ' ']))[:].join(words)}]"
    return draw(st.sampled_from(["", " "])) + between.join(words)


@st.composite
def cells(draw: st.DrawFn, number: str) -> tuple[list[list[Any]], list[str]]:
    length = draw(st.integers(1, 5))
    one = FLOATS if number == FLOAT else INTEGERS
    rows = draw(st.lists(st.lists(one, min_size=length, max_size=length), min_size=1, max_size=9))
    return rows, [spelled(draw, row) for row in rows]


@pytest.mark.parametrize("number", [FLOAT, INT])
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_numbers_are_read_from_every_kind_of_column(number: str, data: st.DataObject) -> None:
    rows, texts = data.draw(cells(number))
    value = pa.float64() if number == FLOAT else pa.int64()
    length = len(rows[0])
    columns = [
        pa.array(texts),
        pa.array(texts, pa.large_string()).dictionary_encode(),
        pa.array(rows, pa.list_(value)),
        pa.array(rows, pa.large_list(value)),
        pa.array(rows, pa.list_(value, length)),
        pa.array([[None], *rows], pa.list_(value))[1:],
    ]
    if length == 1:
        columns.append(pa.array([row[0] for row in rows], value))
    for column in columns:
        reader = NumbersColumn(number, None)
        numbers, bad = reader.numbers(column)
        assert not any(len(found.rows) for found in bad)
        assert reader.kinds == (LabelKind(number, length),)
        found = floats_of(numbers) if number == FLOAT else numbers
        assert found.tolist() == rows


BAD: dict[str, tuple[str, list[Any], str]] = {
    "nothing": (FLOAT, ["1 2", ""], "missing"),
    "null": (FLOAT, [[1.0, 2.0], None], "missing"),
    "a null within": (FLOAT, [[1.0, 2.0], [1.0, None]], "missing at 1"),
    "fewer": (INT, ["1 2", "3"], "1 number, not 2 as in the first row"),
    "more": (INT, [[1, 2], [3, 4, 5]], "3 numbers, not 2 as in the first row"),
    "a word": (FLOAT, ["1 2", "1 big"], "'big', not a finite number at 1"),
    "NaN": (FLOAT, ["1", "nan"], "'nan', not a finite number"),
    "an infinite float": (FLOAT, [1.0, float("inf")], "inf, not a finite number"),
    "more than 32 bits": (FLOAT, ["1", "1e39"], "1e39, too large for 32 bits"),
    "a comma": (FLOAT, ["1", "1,5"], "'1,5', not a finite number"),
    "commas": (FLOAT, ["1 2", "1, 2"], "'1,', not a finite number at 0"),
    "two commas": (INT, ["[1, 2]", "[1,,2]"], "3 numbers, not 2 as in the first row"),
    "half a list": (INT, ["[1, 2]", "[1 2"], "'[1', not an integer at 0"),
    "a fraction": (INT, ["1 2", "1 2.5"], "'2.5', not an integer at 1"),
    "below 0": (INT, ["1 2", "1 -1"], "-1, not in 0 to 8 (9 classes) at 1"),
    "too large": (INT, [[1, 2], [9, 1]], "9, not in 0 to 8 (9 classes) at 0"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_a_label_is_named(case: str) -> None:
    number, values, said = BAD[case]
    _, bad = NumbersColumn(number, 9).numbers(pa.array(values))
    told = {int(row): found.describe(int(row)) for found in bad for row in found.rows}
    assert told.keys() == {1}
    assert told[1] == said


def test_the_length_is_that_of_the_first_row_in_all_slices(tmp_path: Path) -> None:
    reader = NumbersColumn(INT, None)
    assert reader.numbers(pa.array([], pa.string()))[0].shape == (0, 1)
    assert reader.numbers(pa.array(["1 2 3"]))[0].tolist() == [[1, 2, 3]]
    _, bad = reader.numbers(pa.array(["1 2", "4 5 6"]))
    assert [found.rows.tolist() for found in bad if len(found.rows)] == [[0]]


def write(folder: Path, kind: str, names: list[str]) -> Path:
    rows = range(len(names))
    box = [[n / 8, -n, 1e-3, 3e5] for n in rows]
    ids = [[n, n + 1, 7] for n in rows]
    score = [n / 4 for n in rows]
    species = ["ab"[n % 2] for n in rows]
    if kind == "csv":
        lines = [
            [name, n % 3, " ".join(map(str, box[n])), score[n], str(ids[n]), species[n]]
            for n, name in enumerate(names)
        ]
        return write_csv(folder / "t.csv", ["path", "y0", "box", "score", "ids", "species"], lines)
    columns = {
        "path": names,
        "y0": [n % 3 for n in rows],
        "box": box,
        "score": score,
        "ids": ids,
        "species": species,
    }
    if kind == "parquet":
        pq.write_table(pa.table(columns), folder / "t.parquet")
        return folder / "t.parquet"
    records = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    (folder / "t.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return folder / "t.jsonl"


OPTIONS = ConvertOptions(
    transform=Transform(None, (8, 4)), shards=2, float_labels=("box", "score"), vectors=("ids",)
)


@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl"])
def test_batches_hold_what_the_table_says(tmp_path: Path, kind: str) -> None:
    names = write_images(tmp_path, 12, (8, 4))
    convert(str(write(tmp_path, kind, names)), str(tmp_path / "out"), OPTIONS, engine="processes")
    shards = open_shards(tmp_path / "out")
    assert [(label.name, label.kind, label.classes) for label in shards.labels] == [
        ("y0", LabelKind(INT, 1), 3),
        ("box", LabelKind(FLOAT, 4), 0),
        ("score", LabelKind(FLOAT, 1), 0),
        ("ids", LabelKind(INT, 3), 13),
    ]
    ((_, (y0, box, score, ids), rows),) = shards.batches(12, rows=True)
    assert y0.tolist() == (rows % 3).tolist()
    wanted = np.stack([rows / 8, -rows, 0 * rows + 1e-3, 0 * rows + 3e5], axis=1)
    assert np.array_equal(box, wanted.astype(np.float32))
    assert np.array_equal(score, (rows / 4).astype(np.float32))
    assert np.array_equal(ids, np.stack([rows, rows + 1, 0 * rows + 7], axis=1))
    found = pq.read_table(tmp_path / "out" / "records.parquet").to_pydict()
    assert found["ids"] == [[row, row + 1, 7] for row in found["row"]]
    assert found["score"] == [row / 4 for row in found["row"]]


def test_text_labels_may_stand_beside_them(tmp_path: Path) -> None:
    names = write_images(tmp_path, 6, (8, 4))
    table = write(tmp_path, "csv", names)
    out = tmp_path / "out"
    arguments = [str(table), str(out), "--text-labels", "--labels=species", "--size=8x4"]
    arguments += ["--float-labels=box", "--vector=ids", "--engine=inline"]
    assert main(arguments) == 0
    shards = open_shards(out)
    assert [label.vocabulary for label in shards.labels] == [("a", "b"), None, None]
    ((_, (species, box, ids), rows),) = shards.batches(6, rows=True)
    assert species.tolist() == (rows % 2).tolist()
    assert np.array_equal(box[:, 0], (rows / 8).astype(np.float32))
    assert np.array_equal(ids[:, 0], rows)


def test_a_dry_run_shows_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = write(tmp_path, "csv", write_images(tmp_path, 3, (8, 4)))
    arguments = [str(table), str(tmp_path / "out"), "--dry-run", "--size=8x4"]
    assert main([*arguments, "--float-labels=score,box", "--vector=ids"]) == 0
    said = capsys.readouterr().out
    assert "y0 1, score 0.25, box 0.125 -1 0.001 300000, ids 1 2 7" in said


def test_bad_rows_are_listed_with_their_column(tmp_path: Path) -> None:
    table = write_csv(tmp_path / "t.csv", ["path", "box"], [["a", "1 2"], ["b", "1"], ["c", "x 2"]])
    with pytest.raises(TableError) as caught:
        read(table, others=OtherHeads(floats=("box",)))
    message = str(caught.value)
    assert "has 2 bad rows" in message
    assert "box is 1 number, not 2 as in the first row" in message
    assert "box is 'x', not a finite number at 0" in message
    with pytest.raises(TableError, match="no column ids"):
        read(table, others=OtherHeads(floats=("box",), vectors=("ids",)))


def test_a_column_is_of_one_kind() -> None:
    with pytest.raises(OptionError, match="distinct"):
        ConvertOptions(float_labels=("a",), vectors=("a",))
    with pytest.raises(OptionError, match="the column path cannot be a label"):
        ConvertOptions(vectors=("path",))
    assert ConvertOptions(labels=("a", "b"), float_labels=("b",)).labels == ("a", "b")
