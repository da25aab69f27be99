"""Rows of one image that differ: in their labels, or in boxes that nobody cuts out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from converter import convert
from converter.command.cli import main
from converter.options import ConvertOptions
from converter.table.cells.bad_rows import BadRows
from converter.table.cells.box_columns import box_columns
from converter.table.cells.duplicates import DifferingPaths, codes_of_labels, hashes_of
from converter.table.read_table import read_table
from converter.table.scratch import SLICE, Scratch
from shardio.errors import OptionError, TableError
from tests.converter.inputs import write_csv, write_images

Rows = list[tuple[int, tuple[int, int]]]
HEADS = ["y0", "y1"]
# Ways to spell a path.
SPELLINGS = ["{}.png", "./{}.png", "x/../{}.png", ".//{}.png"]
rows = st.lists(
    st.tuples(st.integers(0, 6), st.tuples(st.integers(0, 1), st.integers(0, 1))),
    min_size=1,
    max_size=25,
)


def differing(rows: Rows) -> tuple[set[int], list[int]]:
    """Return the paths with different labels, and the rows that differ from the first of theirs."""
    first: dict[int, tuple[int, int]] = {}
    wrong = [n for n, (path, labels) in enumerate(rows) if first.setdefault(path, labels) != labels]
    return {rows[n][0] for n in wrong}, wrong


@settings(deadline=None, max_examples=100)
@given(rows, st.sampled_from(["csv", "parquet", "words.csv"]))
def test_paths_with_different_labels_are_noted_or_refused(
    tmp_path_factory: pytest.TempPathFactory, rows: Rows, ending: str
) -> None:
    path = tmp_path_factory.mktemp("t") / f"t.{ending}"
    names = [SPELLINGS[n % 4].format(number) for n, (number, _) in enumerate(rows)]
    words = ending == "words.csv"
    lines: list[list[Any]] = [
        [name, *("ab"[label] if words else label for label in labels)]
        for name, (_, labels) in zip(names, rows, strict=True)
    ]
    if path.suffix == ".parquet":
        columns = zip(["path", *HEADS], zip(*lines, strict=True), strict=True)
        parquet.write_table(pa.table({name: list(values) for name, values in columns}), path)
    else:
        write_csv(path, ["path", *HEADS], lines)
    paths, wrong = differing(rows)
    table = read_table(str(path), labels=None, classes=None, text_labels=words)
    assert len(table) == len(rows)
    assert len(table.notes) == bool(paths)
    if not paths:
        again = read_table(str(path), labels=None, classes=None, text_labels=words, unique=True)
        assert again.labels.tolist() == table.labels.tolist()
        return
    assert table.notes[0].startswith(f"{len(paths):,} path")
    first = next(n for n, row in enumerate(rows) if row[0] == rows[wrong[0]][0])
    assert f"such as {names[wrong[0]]!r} in rows {first} and {wrong[0]}" in table.notes[0]
    with pytest.raises(TableError) as caught:
        read_table(str(path), labels=None, classes=None, text_labels=words, unique=True)
    head, *said = str(caught.value).split("\n")
    assert f"{len(wrong)} bad row" in head
    for row, line in zip(wrong[:20], said, strict=False):
        first = next(n for n, other in enumerate(rows) if other[0] == rows[row][0])
        assert line.endswith(f"row {row}: path {names[row]!r} has other labels than in row {first}")


@settings(deadline=None, max_examples=100)
@given(rows, st.integers(1, 8), st.booleans())
def test_they_are_found_however_many_are_looked_at_together(
    rows: Rows, at_a_time: int, one_hash: bool
) -> None:
    """Also where all paths have one hash, and are told apart by themselves."""
    names = [f"{number}" for number, _ in rows]
    labels = np.array([labels for _, labels in rows], np.int32)
    hashes = hashes_of(pa.array(names, pa.large_string()))
    with Scratch() as scratch:
        column = scratch.texts()
        column.append(pa.array(names, pa.large_string()))
        texts = column.finish()
        found = DifferingPaths(
            texts,
            np.zeros(len(rows), np.uint64) if one_hash else hashes,
            codes_of_labels(labels),
            at_a_time=at_a_time,
        )
        paths, wrong = differing(rows)
        if not one_hash:
            assert len(found) == len(paths)
        bad = BadRows()
        found.add_to(bad, lambda path, row, _: f"{path} {row}")
        example = found.example()
    assert bool(bad) == bool(wrong) == (example is not None)
    if example is not None:
        assert example[2] == wrong[0]
        with pytest.raises(TableError) as caught:
            bad.refuse("t")
        said = [f"  row {row}: {names[row]} {row}" for row in wrong[:20]]
        assert str(caught.value).split("\n")[1:21] == said


@settings(deadline=None)
@given(st.integers(1, 6), st.data())
def test_labels_that_differ_have_other_codes(heads: int, data: st.DataObject) -> None:
    row = st.lists(st.integers(0, 2**31 - 1), min_size=heads, max_size=heads)
    labels = np.array(data.draw(st.lists(row, min_size=1, max_size=9)), np.int32)
    codes = codes_of_labels(labels)(np.arange(len(labels))).tolist()
    for one, code in zip(labels.tolist(), codes, strict=True):
        same = [other == one for other in labels.tolist()]
        assert [other == code for other in codes] == same


def test_a_path_is_found_at_any_distance(tmp_path: Path) -> None:
    count = 2 * SLICE + 12_345
    paths = [f"{n}" for n in range(count)]
    labels = np.ones(count, np.int32)
    paths[-1], labels[-1] = paths[1], 2
    table = pa.table({"path": paths, "y0": labels})
    parquet.write_table(table, tmp_path / "t.parquet", row_group_size=100_000)
    found = read_table(str(tmp_path / "t.parquet"), labels=None, classes=None)
    assert found.notes[0].startswith(
        f"1 path has different labels in different rows, such as '1' in rows 1 and {count - 1}"
    )


def test_the_summary_says_it_and_unique_refuses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = write_images(tmp_path, 2, (16, 8))
    rows = [[first, 1, 2], [second, 0, 2], [first, 0, 8]]
    header = ["path", "y0", "x", "y", "w", "h"]
    boxes = write_csv(tmp_path / "t.csv", header, [[*row, 2, 6, 6] for row in rows])
    arguments = [str(boxes), str(tmp_path / "out"), "--engine", "inline"]
    arguments += ["--crop", "none", "--size", "16x8"]
    for more in (["--dry-run"], []):
        assert main([*arguments, *more]) == 0
        said = capsys.readouterr().out
        assert "note      1 path has different labels in different rows, such as" in said
        assert f"{first!r} in rows 0 and 2" in said
        assert "note      columns that look like boxes and are not used: x, y, w, h" in said
    assert main([*arguments, "--overwrite", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["notes"]) == 2
    assert main([*arguments[:1], str(tmp_path / "other"), *arguments[2:], "--unique"]) == 1
    said = capsys.readouterr().err
    assert f"row 2: path {first!r} has other labels than in row 0" in said
    assert not (tmp_path / "other").exists()


def test_images_of_a_column_have_no_paths_to_compare(tmp_path: Path) -> None:
    columns = {"path": ["x", "x"], "y0": [0, 1], "image": [b"a", b"b"]}
    name = str(tmp_path / "t.parquet")
    parquet.write_table(pa.table(columns), name)
    found = read_table(name, labels=None, classes=None, image_column="image")
    assert found.notes == ()
    options = ConvertOptions(image_column="image")
    with pytest.raises(OptionError, match="--unique compares paths"):
        convert(name, str(tmp_path / "out"), options, unique=True)


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ("path y0 xmin ymin xmax ymax", "xmin ymin xmax ymax"),
        ("ImageID XMin XMax YMin YMax IsGroupOf", "XMin XMax YMin YMax"),
        ("x y w h", "x y w h"),
        ("x y width height", "x y width height"),
        ("left top right bottom", "left top right bottom"),
        ("Roi.X1 Roi.Y1 Roi.X2 Roi.Y2 ClassId", "Roi.X1 Roi.Y1 Roi.X2 Roi.Y2"),
        ("bbox_x bbox_y bbox_w bbox_h", "bbox_x bbox_y bbox_w bbox_h"),
        ("x_center y_center width height", "x_center y_center width height"),
        ("path bbox", "bbox"),
        ("path Bounding_Box y0", "Bounding_Box"),
        ("path width height y0", ""),
        ("path x y", ""),
        ("path text box_office", ""),
        ("path y0 y1 y2 y3", ""),
        ("", ""),
    ],
)
def test_columns_of_boxes_are_known(names: str, found: str) -> None:
    assert box_columns(names.split()) == tuple(found.split())


@pytest.mark.parametrize("names", ["x1,y1,x2,y2", "x0,y0,x1,y1", "y0,x1,y1,x2,y2"])
def test_corners_of_a_box_are_no_labels_unless_they_are_named(tmp_path: Path, names: str) -> None:
    header = ["path", *names.split(",")]
    table = str(write_csv(tmp_path / "t.csv", header, [["a", *range(1, len(header))]]))
    with pytest.raises(TableError, match=r"look like a box.*--labels a,b,c"):
        read_table(table, labels=None, classes=None)
    found = read_table(table, labels=("y1",), classes=None)
    assert "are not used: x" in found.notes[0]
    assert read_table(table, labels=tuple(header[1:]), classes=None).notes == ()
