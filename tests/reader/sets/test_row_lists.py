"""`drop(rows=FILE)`: lists of rows, compared with what the set knows of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from converter import ConvertOptions, convert
from reader import ShardSet, open_shards
from shardio.errors import FormatError, MissingFileError, OptionError
from shardio.format.row_list import ListedRow, parse_row_list
from shardio.format.transform import Transform
from tests.converter.inputs import write_csv, write_images
from tests.reader.datasets import write_dataset


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    folder = tmp_path_factory.mktemp("lists")
    names = [*write_images(folder / "images", 12, (60, 40)), "none.png"]
    table = write_csv(folder / "t.csv", ["path", "y0"], [[f"images/{x}", 0] for x in names])
    options = ConvertOptions(transform=Transform(None, (16, 8)), shards=3)
    convert(str(table), str(folder / "set"), options, engine="inline", max_rejects="1")
    return open_shards(folder / "set")


def rows_of(shards: ShardSet) -> list[int]:
    return sorted(shards.labels_of("row").tolist())


@pytest.mark.parametrize(
    "text",
    [
        "3\n7\n",
        "row\n3\n7",
        "\ufeffrow,path\r\n3,\r\n\r\n7,\r\n",
        'reason,row\n"a ""b"",\nc",7\nd,3\n',
        "row\n3\n7\n3\n",
    ],
)
def test_rows_of_a_list_are_dropped(shards: ShardSet, tmp_path: Path, text: str) -> None:
    (tmp_path / "rows.csv").write_text(text, "utf-8")
    for name in (tmp_path / "rows.csv", str(tmp_path / "rows.csv")):
        assert rows_of(shards.drop(rows=name)) == [n for n in range(12) if n not in (3, 7)]


def test_paths_are_compared(shards: ShardSet, tmp_path: Path) -> None:
    table = shards.table()
    paths = dict(zip(table["row"].to_pylist(), table["path"].to_pylist(), strict=True))
    file = tmp_path / "rows.csv"
    file.write_text("row,path\n" + "".join(f"{row},{paths[row]}\n" for row in (3, 7)))
    assert len(shards.drop(rows=file)) == 10
    for wrong in (f"7,{paths[3]}\n", f"7,{paths[3]}\n7,{paths[7]}\n"):
        file.write_text(f"row,path\n3,{paths[3]}\n{wrong}")
        with pytest.raises(OptionError, match=rf"another table: row 7 is '{paths[3]}' there"):
            shards.drop(rows=file)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "lists no rows"),
        ("row,path\n", "lists no rows"),
        ("path,reason\na,b\n", "must name a column row"),
        ("3\nx\n", "line 2: row must be a number from 0, not 'x'"),
        ("row\n-1\n", "line 2: row must be"),
        ("path,row\na\n", "line 2: 1 cell, and the first line has 2"),
        ("path,row\na,5,3\n", "line 2: 3 cells, and the first line has 2; a path with a comma"),
        ("3\n4,5\n", "line 2: 2 cells, and the first line has 1"),
        ("row,path,row\n3,,4\n", "2 columns row"),
        ("row\n99999999999999\n", "line 2: row must be"),
        ('row\n"3\n', "line 2: unexpected end of data"),
        ("member,row\n0,3\n", "several joined sets"),
        ("12\n", "no record of row 12"),
    ],
)
def test_what_is_no_list_is_refused(shards: ShardSet, tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "rows.csv").write_text(text)
    with pytest.raises((FormatError, OptionError), match=said):
        shards.drop(rows=tmp_path / "rows.csv")


def test_what_cannot_be_read_is_named(shards: ShardSet, tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"none\.csv"):
        shards.drop(rows=tmp_path / "none.csv")
    (tmp_path / "rows.csv").write_bytes(b"row\n\xff\n")
    with pytest.raises(FormatError, match="not UTF-8"):
        shards.drop(rows=tmp_path / "rows.csv")


def test_rows_of_a_join_name_their_set(tmp_path: Path) -> None:
    for number in (0, 1):
        write_dataset(tmp_path / str(number), (4,), seed=number)
    joined = open_shards([tmp_path / "0", tmp_path / "1"])
    (tmp_path / "rows.csv").write_text("member,row\n1,2\n0,3\n")
    assert rows_of(joined.drop(rows=tmp_path / "rows.csv")) == [0, 0, 1, 1, 2, 3]
    (tmp_path / "rows.csv").write_text("row\n2\n")
    with pytest.raises(OptionError, match=r"rows\.csv lists rows of one set, .* column member"):
        joined.drop(rows=tmp_path / "rows.csv")


def test_paths_of_a_join_are_compared_in_their_sets(tmp_path: Path) -> None:
    for number in (0, 1):
        names = write_images(tmp_path / f"images{number}", 4, (16, 8))
        rows = [[f"images{number}/{name}", number] for name in names]
        table = write_csv(tmp_path / f"{number}.csv", ["path", "y0"], rows)
        options = ConvertOptions(transform=Transform(None, (16, 8)), shards=1, classes=2)
        convert(str(table), str(tmp_path / str(number)), options, engine="inline")
    joined = open_shards([tmp_path / "0", tmp_path / "1"])
    (tmp_path / "rows.csv").write_text(
        f"member,row,path\n1,2,images1/{names[2]}\n0,3,images0/{names[3]}\n"
    )
    assert rows_of(joined.drop(rows=tmp_path / "rows.csv")) == [0, 0, 1, 1, 2, 3]
    (tmp_path / "rows.csv").write_text(f"member,row,path\n1,2,images0/{names[2]}\n")
    with pytest.raises(OptionError, match=r"another table: row 2 is 'images0/"):
        joined.drop(rows=tmp_path / "rows.csv")


def test_a_list_is_read_as_it_stands() -> None:
    assert parse_row_list(b'row,path\n1,"a,\nb"\n', "x") == [ListedRow(1, "a,\nb")]
