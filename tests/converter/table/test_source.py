"""Tables in four formats, and what is wrong with the others."""

from __future__ import annotations

import hashlib
import io
import json
import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from converter.table.read_table import read_table
from converter.table.reading import Reading
from converter.table.table import Table
from shardio.errors import MissingFileError, TableError

Columns = dict[str, list[Any]]


def csv_bytes(columns: Columns) -> bytes:
    def quoted(value: object) -> str:
        text = "" if value is None else str(value)
        return '"' + text.replace('"', '""') + '"'

    lines = [",".join(map(quoted, columns))]
    lines += [",".join(map(quoted, row)) for row in zip(*columns.values(), strict=True)]
    return "".join(line + "\n" for line in lines).encode()


def tsv_bytes(columns: Columns) -> bytes:
    """Write what has no tabs: TSV quotes nothing."""
    rows = [list(columns), *zip(*columns.values(), strict=True)]
    return "".join("\t".join(map(str, row)) + "\n" for row in rows).encode()


def json_bytes(columns: Columns) -> bytes:
    rows = (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def parquet_bytes(columns: Columns | pa.Table) -> bytes:
    file = io.BytesIO()
    pq.write_table(columns if isinstance(columns, pa.Table) else pa.table(columns), file)
    return file.getvalue()


WRITERS: dict[str, Callable[[Columns], bytes]] = {
    "csv": csv_bytes,
    "tsv": tsv_bytes,
    "jsonl": json_bytes,
    "ndjson": json_bytes,
    "parquet": parquet_bytes,
    "pq": parquet_bytes,
    "CSV": csv_bytes,
}


def read(
    data: bytes,
    ending: str = "csv",
    labels: tuple[str, ...] | None = None,
    classes: int | None = None,
    root: str | None = None,
) -> Table:
    """Read a table that lies in memory."""
    name = f"memory://tables/t.{ending}"
    with fsspec.filesystem("memory").open(name, "wb") as file:
        file.write(data)
    return read_table(name, labels=labels, classes=classes, root=root)


def refusal(
    data: bytes,
    ending: str = "csv",
    labels: tuple[str, ...] | None = None,
    classes: int | None = None,
) -> str:
    with pytest.raises(TableError) as caught:
        read(data, ending, labels, classes)
    assert f"t.{ending}" in str(caught.value)
    return str(caught.value)


def read_text_labels(data: bytes) -> Table:
    name = "memory://tables/t.parquet"
    with fsspec.filesystem("memory").open(name, "wb") as file:
        file.write(data)
    return read_table(name, labels=None, classes=None, text_labels=True)


def paths(table: Table) -> list[str]:
    return table.paths(np.arange(len(table)))


def test_a_plain_table() -> None:
    table = read(b"path,y0,y1,note\na.png,1,20,x\nb.png,0,7,y\n")
    assert len(table) == 2
    assert table.heads == ("y0", "y1")
    assert table.labels.tolist() == [[1, 20], [0, 7]]
    assert table.splits == ("train",)
    assert table.split.tolist() == [0, 0]
    assert paths(table) == ["a.png", "b.png"]


names = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\n\t"),
    min_size=1,
    max_size=20,
).filter(lambda text: ".." not in text)
rows = st.lists(
    st.tuples(
        names,
        st.integers(0, 2**31 - 1),
        st.integers(0, 9),
        st.sampled_from(["train", "val", "t_1"]),
    ),
    min_size=1,
    max_size=30,
    unique_by=lambda row: row[0],
)


@settings(deadline=None, max_examples=60)
@given(rows)
def test_all_formats_give_the_same_table(rows: list[tuple[str, int, int, str]]) -> None:
    path, y0, y1, split = (list(column) for column in zip(*rows, strict=True))
    columns: Columns = {"path": path, "y1": y1, "split": split, "y0": y0}
    for ending, write in WRITERS.items():
        table = read(write(columns), ending)
        assert table.heads == ("y0", "y1")
        assert table.labels.tolist() == [list(pair) for pair in zip(y0, y1, strict=True)]
        assert paths(table) == path
        assert [table.splits[code] for code in table.split] == split
        assert table.splits == tuple(sorted(set(split)))


def test_the_digest_is_of_the_file() -> None:
    data = b"path,y0\na,1\n"
    assert read(data).sha256 == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_no_row_of_a_table_of_many_blocks_is_lost(ending: str) -> None:
    """Arrow reads ahead in threads; a header read from the same stream lost the first block."""
    count = 120_000
    names = [f"images/of/some/folder/{row:09d}.jpg" for row in range(count)]
    columns: Columns = {"path": names, "y0": [row % 97 for row in range(count)]}
    table = read(WRITERS[ending](columns), ending)
    assert len(table) == count
    assert paths(table) == names
    assert np.array_equal(table.labels[:, 0], np.arange(count) % 97)


def test_heads_are_sorted_by_number() -> None:
    table = read(b"y10,path,y2,y1,yy,y,xy3\n10,a,2,1,0,0,0\n")
    assert table.heads == ("y1", "y2", "y10")
    assert table.labels.tolist() == [[1, 2, 10]]


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("labels", [("y1", "y0"), ("y0",), ("other", "y1"), ()])
def test_labels_are_those_asked_for_in_that_order(ending: str, labels: tuple[str, ...]) -> None:
    columns: Columns = {"path": ["a", "b"], "y0": [1, 2], "y1": [3, 4], "other": [5, 6]}
    table = read(WRITERS[ending](columns), ending, labels)
    assert table.heads == labels
    assert table.labels.tolist() == [[columns[name][row] for name in labels] for row in (0, 1)]


@pytest.mark.parametrize("name", ["image", "row", "ÿ0", "a b"])
def test_a_column_may_have_any_name(name: str) -> None:
    data = f"path,y0,{name}\na,1,x\n".encode()
    assert read(data).heads == ("y0",)


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbfpath,y0\na b.png,1\n",
        b"path,y0\r\na b.png,1\r\n",
        b"path,y0\na b.png, 1 \n",
        b"path,y0\na b.png,+1\n",
        b"path,y0\na b.png,0001\n",
        b"path,y0\na b.png,1",
        b"\n\npath,y0\n\na b.png,1\n\n",
        b'"path","y0"\n"a b.png","1"\n',
    ],
)
def test_ways_to_write_the_same_csv(data: bytes) -> None:
    table = read(data)
    assert paths(table) == ["a b.png"]
    assert table.labels.tolist() == [[1]]


def test_quotes_hold_newlines_and_commas() -> None:
    table = read(b'path,y0\n"a\nb,""c""",1\nd,2\n')
    assert paths(table) == ['a\nb,"c"', "d"]
    assert table.labels.tolist() == [[1], [2]]


def test_texts_that_look_like_dates_or_numbers_stay_texts() -> None:
    expected = ["2024-01-01", "2024-01-02 10:00:00"]
    for ending in ("csv", "jsonl", "parquet"):
        columns: Columns = {"path": expected, "y0": [1, 2]}
        assert paths(read(WRITERS[ending](columns), ending)) == expected
    assert paths(read(b"path,y0\n007,1\n1e5,2\n")) == ["007", "1e5"]


@settings(deadline=None, max_examples=100)
@given(st.lists(st.integers(2**53 - 9, 2**53 + 9) | st.integers(-(2**70), 2**70) | st.just(1.5)))
@example([2**64 + 1, 2**64 + 2])
@example([2**53 + 1, 2**53, 1.5])
def test_numbers_that_become_texts_stay_apart(numbers: list[int | float]) -> None:
    all_numbers = [0, *numbers]
    rows = "".join(f'{{"path": {json.dumps(number)}, "y0": 1}}\n' for number in all_numbers)
    # Arrow makes floats of all, where one of them is no integer of 64 bits.
    floats = any(isinstance(n, float) or not -(2**63) <= n < 2**63 for n in all_numbers)
    if floats and any(abs(number) >= 2**53 for number in all_numbers):
        with pytest.raises(TableError, match="which have lost digits; write them as texts"):
            read(rows.encode(), "jsonl")
    else:
        assert paths(read(rows.encode(), "jsonl")) == [str(number) for number in all_numbers]


@pytest.mark.parametrize("kind", [pa.float16(), pa.float32(), pa.float64()])
def test_nan_is_no_text(kind: pa.DataType) -> None:
    column = pa.array([1, float("nan")], kind)
    for written in (column, column.dictionary_encode()):
        columns = {"path": ["a", "b"], "y0": written}
        with pytest.raises(TableError, match="row 1: y0 is missing"):
            read_text_labels(parquet_bytes(pa.table(columns)))


@pytest.mark.parametrize(
    "column",
    [
        pa.array([3, 4], pa.int8()),
        pa.array([3, 4], pa.uint64()),
        pa.array([3.0, 4.0], pa.float64()),
        pa.array(np.array([3, 4], dtype=np.float16)),
        pa.array(["3", "4"]),
        pa.array([3, 4]).dictionary_encode(),
        pa.chunked_array([pa.array([3]), pa.array([4])]),
    ],
)
def test_whole_numbers_of_any_type_are_labels(column: Any) -> None:
    table = read(parquet_bytes(pa.table({"path": ["a", "b"], "y0": column})), "parquet")
    assert table.labels.tolist() == [[3], [4]]


@pytest.mark.parametrize("ending", ["csv", "tsv"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize(
    "reading", [Reading(), Reading(characters="word"), Reading(split_column="word")]
)
def test_a_header_that_comes_again_is_no_class(ending: str, mark: str, reading: Reading) -> None:
    columns: Columns = {"path": ["i/1.png"], "word": ["cat"], "other": ["x"]}
    data = mark.encode() + WRITERS[ending](columns)
    name = f"memory://tables/t.{ending}"
    with fsspec.filesystem("memory").open(name, "wb") as file:
        file.write(data + data)
    labels = ("other",) if reading.split_column else ("word",)
    with pytest.raises(TableError, match="line 3, row 1: the header comes again"):
        read_table(name, labels=labels, classes=None, text_labels=True, reading=reading)


def test_paths_and_splits_may_be_encoded() -> None:
    columns = {
        "path": pa.array(["a", "b"]).dictionary_encode(),
        "y0": [1, 2],
        "split": pa.array(["val", "train"]).dictionary_encode(),
    }
    table = read(parquet_bytes(pa.table(columns)), "parquet")
    assert paths(table) == ["a", "b"]
    assert table.splits == ("train", "val")
    assert table.split.tolist() == [1, 0]


# One row is bad, the second; the message must name it and its value.
BAD_LABELS = [
    ("x", "y0 is 'x', not an integer"),
    ("1.5", "y0 is '1.5', not an integer"),
    ("-1", "y0 is -1, not in 0 to 2147483647"),
    ("2147483648", "y0 is 2147483648, not in 0 to 2147483647"),
    (str(10**30), f"y0 is '{10**30}', not an integer"),
    ("", "y0 is missing"),
    ("  ", "y0 is missing"),
    ("nan", "y0 is 'nan', not an integer"),
    ("0x10", "y0 is '0x10', not an integer"),
    ("1_000", "y0 is '1_000', not an integer"),
    ("\u0661", "y0 is '\u0661', not an integer"),
    ("字" * 99, "y0 is '" + "字" * 37 + "...', not an integer"),
]


@pytest.mark.parametrize(("value", "text"), BAD_LABELS)
@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet"])
def test_a_bad_label_is_named_with_its_row(ending: str, value: str, text: str) -> None:
    columns: Columns = {"path": ["a", "b", "c"], "y0": ["1", value, "2"]}
    message = refusal(WRITERS[ending](columns), ending)
    assert "1 bad row" in message
    assert message.endswith(f"row 1: {text}")


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([1, -1], "y0 is -1, not in 0 to 2147483647"),
        ([1, 2**31], "y0 is 2147483648, not in 0 to 2147483647"),
        ([1, None], "y0 is missing"),
        ([1.0, 1.5], "y0 is 1.5, not an integer"),
        ([1.0, None], "y0 is missing"),
        ([1.0, 1e300], "y0 is 1e+300, not an integer"),
        ([True, False], "y0 is 'true', not an integer"),
    ],
)
@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_a_bad_number_is_named_with_its_row(ending: str, values: list[Any], text: str) -> None:
    columns: Columns = {"path": ["a", "b"], "y0": values}
    assert text in refusal(WRITERS[ending](columns), ending)


@pytest.mark.parametrize(
    ("column", "text"),
    [
        (pa.array([1.0, float("nan")]), "row 1: y0 is nan, not an integer"),
        (pa.array([1.0, float("inf")]), "row 1: y0 is inf, not an integer"),
        (pa.array(np.array([1, 1.5], dtype=np.float16)), "row 1: y0 is 1.5, not an integer"),
        (pa.array([1, 2**64 - 1], pa.uint64()), "row 1: y0 is 18446744073709551615, too large"),
        (pa.array([1, 2**63], pa.uint64()), "row 1: y0 is 9223372036854775808, too large"),
        (pa.array([1, -(2**63)]), "row 1: y0 is -9223372036854775808, not in"),
        (pa.nulls(2), "row 0: y0 is missing"),
        (pa.array([{"a": 1}, None]), "column y0 of"),
    ],
)
def test_a_bad_column_of_parquet_is_named(column: Any, text: str) -> None:
    data = parquet_bytes(pa.table({"path": ["a", "b"], "y0": column}))
    assert text in refusal(data, "parquet")


def test_a_huge_integer_in_json_is_refused() -> None:
    assert "row 0: y0 is 1e+30" in refusal(b'{"path":"a","y0":%d}\n' % 10**30, "jsonl")


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_labels_must_be_below_the_number_of_classes(ending: str) -> None:
    columns: Columns = {"path": ["a", "b", "c"], "y0": [4, 5, 0]}
    assert read(WRITERS[ending](columns), ending, classes=6).labels.max() == 5
    message = refusal(WRITERS[ending](columns), ending, classes=5)
    assert message.endswith("row 1: y0 is 5, not in 0 to 4 (5 classes)")


@settings(deadline=None, max_examples=30)
@given(st.sets(st.integers(0, 4999), min_size=1), st.integers(0, 2**32))
def test_bad_rows_are_listed_up_to_20_and_the_rest_counted(bad: set[int], seed: int) -> None:
    chance = random.Random(seed)
    values = ["5"] * 5000
    for row in bad:
        values[row] = chance.choice(["x", "-3", "", "2.5", "99999999999"])
    message = refusal(csv_bytes({"path": ["a"] * 5000, "y0": values}))
    head, *lines = message.split("\n")
    assert f"{len(bad)} bad row" in head
    listed = sorted(bad)[:20]
    for row, line in zip(listed, lines, strict=False):
        value = values[row]
        assert line.startswith(f"  line {row + 2}, row {row}: ")
        assert (repr(value) if value in ("x", "2.5") else value or "missing") in line
    rest = [f"  and {len(bad) - 20} more"] if len(bad) > 20 else []
    assert lines[len(listed) :] == rest


def test_values_are_shown_however_many_rows_are_bad_in_another_way() -> None:
    values = ["-7", *["x"] * 3000]
    message = refusal(csv_bytes({"path": ["a"] * 3001, "y0": values}))
    assert "row 0: y0 is -7, not in" in message
    assert "and 2981 more" in message


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("", "path is empty"),
        ("../x", "path '../x' leaves the root folder"),
        ("a/../../x", "path 'a/../../x' leaves the root folder"),
        ("..", "path '..' leaves the root folder"),
        ("./../x", "path './../x' leaves the root folder"),
        ("a\0b", "path 'a\\x00b' has a null byte"),
    ],
)
@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_a_bad_path_is_named_with_its_row(ending: str, path: str, text: str) -> None:
    columns: Columns = {"path": ["a", path], "y0": [1, 2]}
    message = refusal(WRITERS[ending](columns), ending)
    assert f"row 1: {text}" in message


@pytest.mark.parametrize("path", ["a/../b", "..a", "a..", "a..b/c", "a/b/../../c", "/../x"])
def test_two_dots_that_stay_inside_are_kept(path: str) -> None:
    assert paths(read(csv_bytes({"path": [path], "y0": [1]}))) == [path]


def test_a_missing_path_is_empty() -> None:
    message = refusal(parquet_bytes({"path": ["a", None], "y0": [1, 2]}), "parquet")
    assert message.endswith("row 1: path is empty")


@pytest.mark.parametrize("split", ["", "1a", "a-b", "a b", "_a", "字", "a/b", ".."])
@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_every_bad_split_is_listed(ending: str, split: str) -> None:
    columns: Columns = {
        "path": ["a", "b", "c"],
        "y0": [1, 2, 3],
        "split": [split, "train", split],
    }
    message = refusal(WRITERS[ending](columns), ending)
    assert "2 bad rows" in message
    assert f"row 0: split is {split!r}" in message
    assert f"row 2: split is {split!r}" in message


HEADERS = [
    (b"y0,y1\n1,2\n", None, "no column path; it has y0, y1 (the first line must be the header)"),
    (b"path,y0\na,1\n", ("y0", "z"), "no column z; it has path, y0"),
    (b"path,a\nx,1\n", None, "no label columns (y0, y1, ...); it has path, a"),
    (b"path,y0,y0\na,1,2\n", None, "the column y0 more than once"),
    (b"path,y0,path\na,1,b\n", None, "the column path more than once"),
    (b"path,y0,split,split\na,1,b,c\n", None, "the column split more than once"),
    (b"", None, "is empty"),
    (b"\n\n", None, "is empty"),
    (b"path,y0\n", None, "has no rows"),
    (b"path,y0", None, "has no rows"),
]


@pytest.mark.parametrize(("data", "labels", "text"), HEADERS)
def test_a_bad_header_is_refused(data: bytes, labels: tuple[str, ...] | None, text: str) -> None:
    assert text in refusal(data, "csv", labels)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"path,y0\na,1\nb\n", "row 1: Expected 2 columns, got 1: b"),
        (b"path,y0\na,1\nb,2,3\nc,4\n", "row 1: Expected 2 columns, got 3: b,2,3"),
        (b"path,y0\na,1\n\xff,1\n", "neither UTF-8"),
        ("path,y0,验证码图片的文字\na,1,字\n".encode("gb18030"), "has no column"),
    ],
)
def test_a_csv_that_cannot_be_read_is_refused(data: bytes, text: str) -> None:
    if text == "has no column":  # a column that nobody asks for may be in any encoding
        assert len(read(data)) == 1
        return
    assert text in refusal(data)


def test_a_row_far_down_is_named() -> None:
    lines = [f"some/long/path/to/an/image/{row:09d}.png,1" for row in range(60_000)]
    lines[50_000] = "short"
    assert "row 50000: Expected 2" in refusal(("path,y0\n" + "\n".join(lines)).encode())
    rows = [json.dumps({"path": f"some/path/{row:09d}.png", "y0": 1}) for row in range(60_000)]
    rows[50_000] = '{"path": "a", "y0": "x"}'
    assert "row 50000" in refusal("\n".join(rows).encode(), "jsonl")


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "Empty"),
        (b"path,y0\na,1\n", "cannot be read"),
        (b'[{"path":"a","y0":1}', "no comma behind row 0"),
        (b'{"path":"a","y0":1}\n{"path":"b","y0":"x"}\n', "row 1"),
        (b'{"path":"a","y0":1}\n{"path":"b","y0":[1]}\n', "row 1"),
        (b'{"path":"a","y0":1}\n{"path":"b","y0":}\n', "row 1"),
        (b'{"path":"a","y0":1}\n{"path":"b"}\n', "row 1: y0 is missing"),
        (b'{"path":"a","y0":1}\n{"y0":1}\n', "row 1: path is empty"),
        (b'{"path":"a","path":"b","y0":1}\n', "path"),
        (b'{"path":["a"],"y0":1}\n', "column path of"),
        (b'{"path":"a","y0":1,"split":["x"]}\n', "column split of"),
        (b'{"path":"\xff","y0":1}\n', "UTF-8"),
        (b'{"file":"a","y0":1}\n', "no column path; it has file, y0"),
    ],
)
def test_json_lines_that_cannot_be_read_are_refused(data: bytes, text: str) -> None:
    assert text in refusal(data, "jsonl")


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "cannot be read"),
        (b"path,y0\na,1\n", "cannot be read"),
        (b"PAR1" + b"x" * 20 + b"PAR1", "cannot be read"),
        (parquet_bytes({"path": ["a"], "y0": [1]})[:-30], "cannot be read"),
        (parquet_bytes(pa.table({"path": [b"\xff"], "y0": [1]})), "UTF-8"),
        (parquet_bytes({"path": [], "y0": []}), "has no rows"),
        (parquet_bytes({"file": ["a"], "y0": [1]}), "no column path; it has file, y0"),
    ],
)
def test_parquet_that_cannot_be_read_is_refused(data: bytes, text: str) -> None:
    assert text in refusal(data, "parquet")


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_damaged_parquet_gives_a_table_or_an_error_of_ours(data: st.DataObject) -> None:
    file = bytearray(parquet_bytes({"path": ["a", "b"] * 20, "y0": [1, 2] * 20}))
    at = data.draw(st.integers(4, len(file) - 9))
    file[at] ^= data.draw(st.integers(1, 255))
    with suppress(TableError):
        read(bytes(file), "parquet")


@settings(deadline=None, max_examples=100)
@given(st.sampled_from(["csv", "tsv", "jsonl"]), st.binary(max_size=60))
def test_any_bytes_give_a_table_or_an_error_of_ours(ending: str, junk: bytes) -> None:
    start = b'{"path":"a","y0":1}\n' if ending == "jsonl" else b"path,y0\na,1\n"
    for data in (junk, start + junk):
        with suppress(TableError):
            read(data, ending)


@pytest.mark.parametrize("name", ["t.xlsx", "t", "t.gz", "csv"])
def test_another_ending_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"path,y0\na,1\n")
    with pytest.raises(TableError, match=r"must end in \.csv, \.tsv, .* or \.mdb"):
        read_table(str(tmp_path / name), labels=None, classes=None)


def test_a_table_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"none\.csv"):
        read_table(str(tmp_path / "none.csv"), labels=None, classes=None)
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(TableError, match=r"folder\.csv has neither images nor .* it is empty"):
        read_table(str(tmp_path / "folder.csv"), labels=None, classes=None)


@pytest.mark.parametrize(
    ("name", "root", "path", "location"),
    [
        ("data/t.csv", None, "a/b.png", "data/a/b.png"),
        ("t.csv", None, "a.png", "./a.png"),
        ("t.csv", "images", "a.png", "images/a.png"),
        ("t.csv", "images/", "a.png", "images/a.png"),
        ("t.csv", "/", "a.png", "/a.png"),
        ("t.csv", "images", "/a.png", "/a.png"),
        ("t.csv", "images", "memory://x/a.png", "memory://x/a.png"),
        ("t.csv", "memory://x", "a.png", "memory://x/a.png"),
        ("t.csv", "memory://", "a.png", "memory://a.png"),
    ],
)
def test_paths_are_relative_to_the_table_or_the_root(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    root: str | None,
    path: str,
    location: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_bytes(csv_bytes({"path": [path], "y0": [1]}))
    table = read_table(name, labels=None, classes=None, root=root)
    assert table.location(path) == location


@pytest.mark.parametrize(
    ("name", "location"),
    [("memory://x/t.csv", "memory://x/a.png"), ("memory://t.csv", "memory://a.png")],
)
def test_paths_are_relative_to_the_folder_of_a_url(name: str, location: str) -> None:
    with fsspec.filesystem("memory").open(name, "wb") as file:
        file.write(b"path,y0\na.png,1\n")
    assert read_table(name, labels=None, classes=None).location("a.png") == location
