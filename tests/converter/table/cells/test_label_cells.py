"""Labels as people write them: texts of characters, several numbers in a cell, missing ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from converter.command.cli import main
from converter.options import ConvertOptions
from converter.table.read_table import read_table
from converter.table.reading import Reading
from converter.table.table import Table
from reader import open_shards
from shardio.errors import OptionError, TableError
from tests.converter.inputs import write_images


def read(
    path: Path,
    text: str,
    labels: tuple[str, ...] | None = None,
    *,
    text_labels: bool = False,
    vocabulary: tuple[str, ...] | None = None,
    **reading: Any,
) -> Table:
    path.write_text(text)
    return read_table(
        str(path),
        labels=labels,
        classes=None,
        text_labels=text_labels,
        vocabulary=vocabulary,
        reading=Reading(**reading),
    )


def words_of(table: Table) -> list[list[str]]:
    assert table.vocabulary is not None
    return [[table.vocabulary[label] for label in row] for row in table.labels.tolist()]


characters = st.text(st.sampled_from("中国人民汉字 ab"), min_size=4, max_size=4).filter(
    lambda text: text.strip() == text
)


@settings(deadline=None, max_examples=40)
@given(st.lists(characters, min_size=1, max_size=9))
def test_each_character_of_a_text_is_a_label(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str]
) -> None:
    path = tmp_path_factory.mktemp("t") / "t.tsv"
    lines = "".join(f"{n}.png\t {text} \n" for n, text in enumerate(texts))
    table = read(path, "path\ttext\n" + lines, characters="text", text_labels=True)
    assert table.heads == ("y0", "y1", "y2", "y3")
    assert words_of(table) == [list(text) for text in texts]
    assert table.vocabulary == tuple(sorted(set("".join(texts))))
    assert "each of the 4 characters in a cell of text is a label, y0 to y3" in table.notes


def test_texts_of_another_length_are_bad_rows(tmp_path: Path) -> None:
    text = "path,text,y9\n0,中国人民,1\n1,中国,2\n2,,3\n3,人民中国,4\n4,人民中国人,5\n"
    with pytest.raises(TableError) as caught:
        read(tmp_path / "t.csv", text, characters="text", text_labels=True)
    assert str(caught.value).split("\n")[1:] == [
        "  line 3, row 1: text is '中国', of 2 characters, not 4",
        "  line 4, row 2: text is '', of 0 characters, not 4",
        "  line 6, row 4: text is '人民中国人', of 5 characters, not 4",
    ]
    with pytest.raises(TableError, match="row 0: y3 is '民', not in the vocabulary"):
        read(
            tmp_path / "t.csv",
            "path,text\n0,中国人民\n",
            characters="text",
            text_labels=True,
            vocabulary=("中", "国", "人"),
        )
    with pytest.raises(TableError, match="there would be two labels y0"):
        read(
            tmp_path / "t.csv", "path,a,y0\n0,xy,z\n", ("a", "y0"), characters="a", text_labels=True
        )
    for options in ({"text_labels": False}, {"text_labels": True, "labels": ("y0",)}):
        with pytest.raises(OptionError, match="characters"):
            ConvertOptions(reading=Reading(characters="text"), **options)


CELLS = ["80 84 68 82", "[80, 84, 68, 82]", "80;84;68;82", "80,84,68,82", "(80  84 68.0 82)"]


@pytest.mark.parametrize("cell", CELLS)
def test_several_numbers_in_a_cell_are_labels(tmp_path: Path, cell: str) -> None:
    text = f"path\ty0\n0.png\t{cell}\n1.png\t{cell.replace('80', '7')}\n"
    table = read(tmp_path / "t.tsv", text)
    assert table.heads == ("y0", "y1", "y2", "y3")
    assert table.labels.tolist() == [[80, 84, 68, 82], [7, 84, 68, 82]]
    assert table.notes == ("each of the 4 values in a cell of y0 is a label, y0 to y3",)
    with pytest.raises(TableError, match="line 4, row 2: y0 is '1 2 3', of 3 values, not 4"):
        read(tmp_path / "t.tsv", text + "2.png\t1 2 3\n")


def test_lists_are_labels_in_json_and_parquet(tmp_path: Path) -> None:
    rows = [{"path": "0.png", "y0": [1, 2]}, {"path": "1.png", "y0": [3, 4]}]
    expected = [[1, 2], [3, 4]]
    assert read(tmp_path / "t.json", json.dumps(rows)).labels.tolist() == expected
    for kind in (pa.list_(pa.int64()), pa.large_list(pa.int8()), pa.list_(pa.int32(), 2)):
        labels = pa.array(expected, kind)
        parquet.write_table(
            pa.table({"path": ["0.png", "1.png"], "y0": labels}), tmp_path / "t.parquet"
        )
        table = read_table(str(tmp_path / "t.parquet"), labels=None, classes=None)
        assert (table.heads, table.labels.tolist()) == (("y0", "y1"), expected)
    rows[1]["y0"] = [3]
    with pytest.raises(TableError, match="row 1: y0 is '3', of 1 value, not 2"):
        read(tmp_path / "t.json", json.dumps(rows))
    texts = [{"path": "0.png", "y0": ["中", "国 "]}]
    assert words_of(read(tmp_path / "t.json", json.dumps(texts), text_labels=True)) == [
        ["中", "国"]
    ]
    table = read(tmp_path / "t.tsv", "path\ta\tb\n0\t1 2\t3 4\n", ("b", "a"))
    assert (table.heads, table.labels.tolist()) == (("b_0", "b_1", "a_0", "a_1"), [[3, 4, 1, 2]])


@pytest.mark.parametrize("cell", ["1,5", "1-5", "12:30", "1 x"])
def test_what_may_be_one_number_is_not_several(tmp_path: Path, cell: str) -> None:
    with pytest.raises(TableError, match="not an integer"):
        read(tmp_path / "t.tsv", f"path\ty0\n0.png\t3\n1.png\t{cell}\n")
    with pytest.raises(TableError, match="not an integer"):
        read(tmp_path / "t.tsv", f"path\ty0\n1.png\t{cell}\n")


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_missing_labels_are_errors_or_a_class_of_their_own(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"t.{ending}"
    values = [3, None, -1, 0]
    if ending == "csv":
        cells = ("3", " ", "-1.0", "0")
        path.write_text("path,y0\n" + "".join(f"{n}.png,{c}\n" for n, c in enumerate(cells)))
    elif ending == "jsonl":
        rows = [{"path": f"{n}.png", "y0": value} for n, value in enumerate(values)]
        path.write_text("\n".join(map(json.dumps, rows)))
    else:
        floats = pa.array([3.0, float("nan"), -1.0, 0.0])
        parquet.write_table(pa.table({"path": list("abcd"), "y0": floats}), path)
    with pytest.raises(TableError, match="--missing N makes empty labels and -1 the class N"):
        read_table(str(path), labels=None, classes=None)
    table = read_table(str(path), labels=None, classes=None, reading=Reading(missing="4"))
    assert table.labels.tolist() == [[3], [4], [4], [0]]
    with pytest.raises(TableError, match="row 1: y0 is 4, not in 0 to 3"):
        read_table(str(path), labels=None, classes=4, reading=Reading(missing="4"))
    for wrong in ("-1", "x", "2147483648"):
        with pytest.raises(OptionError, match="class of missing labels must be 0 to"):
            ConvertOptions(reading=Reading(missing=wrong))
    table = read(tmp_path / "t.tsv", "path\ty0\na\tx\nb\t \n", text_labels=True, missing="none")
    assert words_of(table) == [["x"], ["none"]]


def test_texts_are_trimmed_and_normalised_and_that_is_said(tmp_path: Path) -> None:
    text = "path\ty0\na\tcat\nb\t cat\nc\tcaf\u00e9\nd\tcafe\u0301 \n"
    table = read(tmp_path / "t.tsv", text, text_labels=True)
    assert words_of(table) == [["cat"], ["cat"], ["café"], ["café"]]
    (note,) = table.notes
    assert note.startswith("labels that differ in white space around them or in the form")
    assert "2 texts, such as ' cat'" in note


def test_columns_of_labels_are_those_that_everyone_would_number(tmp_path: Path) -> None:
    """By their numbers, also with zeros before; not y00 beside y0, no digits of other scripts."""
    names = [f"y{number:02}" for number in range(12)]
    for columns in (names, names[::-1]):
        text = f"path,{','.join(columns)}\na,{','.join('1' * 12)}\n"
        assert read(tmp_path / "t.csv", text).heads == tuple(names)
    with pytest.raises(TableError, match=r"label columns of one number \(y0, y00, y1\)"):
        read(tmp_path / "t.csv", "path,y00,y1,y0\na,1,3,4\n")
    with pytest.raises(TableError, match=r"has no label columns \(y0, y1"):
        read(tmp_path / "t.csv", "path,y٣\na,2\n")


def test_a_text_without_the_option_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(TableError) as caught:
        read(tmp_path / "t.csv", "path,y0\n" + "a,山\n" * 50)
    assert str(caught.value) == (
        f"{tmp_path}/t.csv: y0 is '山', not an integer (line 2, row 0); labels that are texts need "
        "--text-labels, or --characters y0 for one of each character"
    )
    text = "path,text\na,中国人民\nb,人民中国\nc,汉字汉字\n"
    table = read(tmp_path / "t.csv", text, ("text",), text_labels=True)
    assert "--characters text makes a label of each character instead" in table.notes[0]


def test_two_datasets_have_one_vocabulary(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = write_images(tmp_path, 4, (16, 8))
    for name, texts in (("train", "猫狗"), ("val", "狗狗"), ("odd", "鸟狗")):
        lines = "".join(f"{n},{t}\n" for n, t in zip(names, texts, strict=False))
        (tmp_path / f"{name}.csv").write_text("path,y0\n" + lines)

    def convert(name: str, *more: str) -> int:
        places = [str(tmp_path / f"{name}.csv"), str(tmp_path / name)]
        return main([*places, "--crop", "none", "--size", "16x8", "--engine", "inline", *more])

    assert convert("train", "--text-labels") == 0
    assert convert("val", "--vocabulary-of", str(tmp_path / "train")) == 0
    words = [open_shards(tmp_path / name).labels[0].vocabulary for name in ("train", "val")]
    assert words == [("狗", "猫")] * 2
    assert convert("odd", "--vocabulary-of", str(tmp_path / "train")) == 1
    assert "y0 is '鸟', not in the vocabulary" in capsys.readouterr().err
    # Tables of one run share one.
    both = [str(tmp_path / f"{name}.csv") for name in ("train", "odd")]
    assert main([*both, str(tmp_path / "both"), "--text-labels", "--size", "16x8"]) == 0
    assert open_shards(tmp_path / "both").labels[0].vocabulary == ("狗", "猫", "鸟")


def test_what_is_missing_between_commas_keeps_the_place_of_the_others(tmp_path: Path) -> None:
    text = "path\ty0\na\t1,2,3\nb\t4, ,6\nc\t[ ,8 , 9]\nd\t1 2  3\n"
    table = read(tmp_path / "t.tsv", text, missing="7")
    assert table.labels.tolist() == [[1, 2, 3], [4, 7, 6], [7, 8, 9], [1, 2, 3]]
    with pytest.raises(TableError, match=r"line 3, row 1: y1 is missing"):
        read(tmp_path / "t.tsv", text)
    with pytest.raises(TableError, match=r"row 1: y0 is .* of 4 values, not 3"):
        read(tmp_path / "t.tsv", "path\ty0\na\t1,2,3\nb\t1,,2,3\n")


@pytest.mark.parametrize("kind", [pa.int8(), pa.uint8(), pa.float16(), pa.float32()])
def test_the_class_of_missing_labels_may_be_larger_than_the_column_holds(
    tmp_path: Path, kind: pa.DataType
) -> None:
    path = str(tmp_path / "t.parquet")
    column = pa.array([1, None, 3]).cast(kind)
    parquet.write_table(pa.table({"path": ["a", "b", "c"], "y0": column}), path)
    table = read_table(path, labels=None, classes=None, reading=Reading(missing="16777217"))
    assert table.labels.tolist() == [[1], [16777217], [3]]
