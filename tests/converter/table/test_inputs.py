"""Several files, globs and folders that are one table, in any form that tables are written in."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import ipc, parquet

from converter.table.read_table import read_table
from converter.table.table import Table
from shardio.errors import TableError
from tests.converter.inputs import environment

Columns = dict[str, list[Any]]


def rows_of(columns: Columns) -> list[tuple[Any, ...]]:
    return list(zip(*columns.values(), strict=True))


def delimited(columns: Columns, delimiter: str, quoted: bool) -> str:
    def cell(value: object) -> str:
        text = str(value)
        return '"' + text.replace('"', '""') + '"' if quoted else text

    lines = [list(columns), *rows_of(columns)]
    return "".join(delimiter.join(map(cell, line)) + "\n" for line in lines)


def objects(columns: Columns) -> list[dict[str, Any]]:
    return [dict(zip(columns, row, strict=True)) for row in rows_of(columns)]


def json_lines(columns: Columns) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in objects(columns)).encode()


def arrow(columns: Columns, writer: Callable[..., Any]) -> bytes:
    file = io.BytesIO()
    table = pa.table(columns)
    with writer(file, table.schema) as made:
        made.write_table(table, max_chunksize=3)
    return file.getvalue()


def parquet_bytes(columns: Columns) -> bytes:
    file = io.BytesIO()
    parquet.write_table(pa.table(columns), file)
    return file.getvalue()


def zstd(data: bytes) -> bytes:
    return bytes(pa.compress(data, codec="zstd", asbytes=True))


# How a table is written, by the name of the file.
FORMS: dict[str, Callable[[Columns], bytes]] = {
    "comma.csv": lambda c: delimited(c, ",", quoted=True).encode(),
    "mark.csv": lambda c: delimited(c, ",", quoted=True).encode("utf-8-sig"),
    "semicolon.csv": lambda c: delimited(c, ";", quoted=True).encode(),
    "tab.tsv": lambda c: delimited(c, "\t", quoted=False).encode(),
    "tab.txt": lambda c: delimited(c, "\t", quoted=False).encode(),
    "tab.csv": lambda c: delimited(c, "\t", quoted=False).encode(),
    "tab.lst": lambda c: delimited(c, "\t", quoted=False).encode(),
    "utf16.csv": lambda c: delimited(c, ",", quoted=True).encode("utf-16"),
    "big.csv": lambda c: delimited(c, ",", quoted=True).encode("utf-16-be"),
    "packed.csv.gz": lambda c: gzip.compress(delimited(c, ",", quoted=True).encode()),
    "packed.tsv.zst": lambda c: zstd(delimited(c, "\t", quoted=False).encode()),
    "lines.jsonl": json_lines,
    "lines.json": json_lines,
    "array.json": lambda c: json.dumps(objects(c), indent=2).encode(),
    "packed.json.gz": lambda c: gzip.compress(json.dumps(objects(c)).encode()),
    "file.parquet": parquet_bytes,
    "file.arrow": lambda c: arrow(c, ipc.new_file),
    "stream.arrow": lambda c: arrow(c, ipc.new_stream),
}


def read(*names: Path | str, **options: Any) -> Table:
    options = {"labels": None, "classes": None, **options}
    return read_table([str(name) for name in names], **options)


def content(table: Table) -> tuple[list[str], list[list[int]]]:
    return table.paths(np.arange(len(table))), table.labels.tolist()


names = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"]), min_size=1, max_size=9
).filter(lambda text: ".." not in text and "://" not in text)
tables = st.lists(st.tuples(names, st.integers(0, 2**31 - 1)), min_size=1, max_size=12)


@settings(deadline=None, max_examples=25)
@given(rows=tables)
def test_a_table_in_any_form_has_the_same_rows(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, int]]
) -> None:
    folder = tmp_path_factory.mktemp("forms")
    columns: Columns = {"path": [f"{p}.png" for p, _ in rows], "y0": [label for _, label in rows]}
    for name, write in FORMS.items():
        (folder / name).write_bytes(write(columns))
        expected = columns["path"], [[label] for label in columns["y0"]]
        assert content(read(folder / name)) == expected, name
    # All of them as one table.
    table = read(*(folder / name for name in FORMS), text_labels=False)
    assert content(table)[0] == columns["path"] * len(FORMS)
    digests = (hashlib.sha256((folder / name).read_bytes()).digest() for name in FORMS)
    assert table.sha256 == hashlib.sha256(b"".join(digests)).hexdigest()


@pytest.mark.parametrize("name", ["comma.csv", "array.json", "packed.csv.gz", "file.parquet"])
def test_a_table_comes_from_standard_input(tmp_path: Path, name: str) -> None:
    columns: Columns = {"path": ["a.png", "b.png"], "y0": [3, 1]}
    script = (
        "from converter.table.read_table import read_table\n"
        "t = read_table('-', labels=None, classes=None)\n"
        "print(t.root, t.name, t.labels.tolist())"
    )
    run = subprocess.run(
        [sys.executable, "-c", script],
        input=FORMS[name](columns),
        capture_output=True,
        env=environment(),
        timeout=120,
        check=False,
    )
    assert run.stdout.decode().strip() == ". standard input [[3], [1]]", run.stderr.decode()


def test_rows_are_counted_on_and_bad_ones_named_with_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('path,y0\n\n"a\nb.png",1\nc.png,-5\n')
    (tmp_path / "b.jsonl").write_text('\n{"path":"d.png","y0":1}\n{"path":"e.png","y0":-2}\n')
    (tmp_path / "c.parquet").write_bytes(parquet_bytes({"path": ["f.png"], "y0": [-3]}))
    with pytest.raises(TableError) as caught:
        read(*(tmp_path / name for name in ("a.csv", "b.jsonl", "c.parquet")))
    assert [line.replace(f"{tmp_path}/", "") for line in str(caught.value).split("\n")[1:]] == [
        "  a.csv, line 5, row 1: y0 is -5, not in 0 to 2147483647",
        "  b.jsonl, line 3, row 3: y0 is -2, not in 0 to 2147483647",
        "  c.parquet, its row 0, row 4: y0 is -3, not in 0 to 2147483647",
    ]
    (tmp_path / "b.csv").write_text("path,y0\nx.png,1\ny.png\n")
    with pytest.raises(TableError, match=r"b\.csv cannot be read: line 3, row 1: Expected 2"):
        read(tmp_path / "b.csv")


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_the_line_of_any_bad_row_is_the_line_it_begins_in(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    table = tmp_path_factory.mktemp("lines") / "t.csv"
    pieces = data.draw(
        st.lists(st.sampled_from(["a,1", '"b\nc",2', "", '"d\r\n\n",3']), max_size=30)
    )
    end = data.draw(st.sampled_from(["\n", "\r\n"]))
    text = "path,y0" + end + "".join(piece + end for piece in pieces) + "x,-1" + end
    table.write_bytes(text.encode())
    line = len(text.removesuffix(f"x,-1{end}").splitlines()) + 1
    row = sum(map(bool, pieces))
    with pytest.raises(TableError, match=rf"\n  line {line}, row {row}: y0 is -1"):
        read(table, block=data.draw(st.integers(1, 60)))


def test_globs_and_folders_of_parquet_are_one_table(tmp_path: Path) -> None:
    for part in (0, 1, 2):
        rows: Columns = {"path": [f"{part}.png"], "y0": [part]}
        (tmp_path / "data" / "deep").mkdir(parents=True, exist_ok=True)
        name = "deep/train-2.parquet" if part == 2 else f"train-{part}.parquet"
        (tmp_path / "data" / name).write_bytes(parquet_bytes(rows))
    (tmp_path / "data" / "_SUCCESS").touch()
    table = read(tmp_path / "data" / "train-*.parquet")
    assert content(table) == (["0.png", "1.png"], [[0], [1]])
    table = read(tmp_path / "data")
    assert sorted(content(table)[0]) == ["0.png", "1.png", "2.png"]
    assert table.root == str(tmp_path / "data")
    (tmp_path / "data" / "test-0.parquet").write_bytes(parquet_bytes({"path": ["t"], "y0": [9]}))
    with pytest.raises(TableError, match=r"several splits \(test, train\)"):
        read(tmp_path / "data")
    with pytest.raises(TableError, match="no file has such a name"):
        read(tmp_path / "*.parquet")


def test_what_may_be_one_table_or_another_is_refused(tmp_path: Path) -> None:
    write = {
        "a.csv": "path,y0\na.png,1\n",
        "b.csv": "path,y0,y1\nb.png,1,2\n",
        "c.csv": "c.png,1\n",
        "d.csv": "path,y0,split\nd.png,1,val\n",
        "e.csv": "file,y0\ne.png,1\n",
        "other/f.csv": "path,y0\nf.png,1\n",
    }
    for name, text in write.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "symbolic.csv").symlink_to("a.csv")
    (tmp_path / "hard.csv").hardlink_to(tmp_path / "a.csv")
    for name, words in (
        ("b.csv", "other label columns than .*: y0, y1, not y0"),
        ("c.csv", r"c\.csv has no header, and .*a\.csv has one \(path, y0\)"),
        ("d.csv", "other splits than"),
        ("e.csv", "has no column path"),
        ("other/f.csv", "several folders"),
        ("a.csv", r"a\.csv is given twice; "),
        ("symbolic.csv", r"symbolic\.csv is given twice, also as .*/a\.csv; "),
        ("hard.csv", r"hard\.csv is given twice, also as .*/a\.csv; "),
    ):
        with pytest.raises(TableError, match=words):
            read(tmp_path / "a.csv", tmp_path / name)
    assert content(read(tmp_path / "a.csv", tmp_path / "other/f.csv", root="."))[1] == [[1], [1]]
