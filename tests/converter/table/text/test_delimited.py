"""Rows of CSV and TSV: those that Python's csv module and str.split find, or a refusal."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import fsspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from converter.command.cli import main
from converter.table.inputs import TableInput
from converter.table.paths.kinds import Kind
from converter.table.text.delimited import DelimitedTable
from converter.table.text.dialect import Dialect
from converter.table.text.quoted_cells import QuotedCells
from converter.table.text.text_encoding import Utf8Stream
from reader import open_shards
from shardio.errors import TableError
from tests.converter.inputs import write_images

BLOCK = 1 << 20
Rows = list[list[str]]
SPECIAL = 'ab",\t\n\r\n" é\0'


def written(text: str | bytes, ending: str) -> str:
    name = f"memory://delimited/t.{ending}"
    with fsspec.filesystem("memory").open(name, "wb") as file:
        file.write(text.encode() if isinstance(text, str) else text)
    return name


def read(text: str | bytes, ending: str, block: int = BLOCK) -> tuple[Rows, list[str]]:
    """Return all rows, the header first, and the notes."""
    name = written(text, ending)
    file = TableInput(name, name, Kind.DELIMITED)
    dialect = Dialect("," if ending == "csv" else "\t")
    table = DelimitedTable(name, lambda: Utf8Stream(file, "utf-8"), dialect, block)
    # Names that are there twice name the first of their columns.
    wanted = [name for n, name in enumerate(table.names) if table.names.index(name) == n]
    rows = [table.names]
    for batch in table.batches(wanted):
        columns = dict(zip(wanted, batch.columns, strict=True))
        values = [columns[name].to_pylist() for name in table.names]
        rows += [list(row) for row in zip(*values, strict=True)]
    return rows, table.notes()


def rows_of_csv(text: str) -> Rows:
    """Read CSV with Python; csv.Error for what is none."""
    return [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]


def rows_of_tsv(text: str) -> Rows:
    return [line.split("\t") for line in re.split(r"\r\n|\r|\n", text) if line]


def outcome(text: str, ending: str, block: int) -> Rows | None:
    try:
        rows, _ = read(text, ending, block)
    except Exception as error:
        if not isinstance(error, TableError) and "Expected" not in str(error):
            raise
        return None
    return rows


def expected(text: str, ending: str) -> Rows | None:
    try:
        rows = rows_of_csv(text) if ending == "csv" else rows_of_tsv(text)
    except csv.Error:
        return None
    if not rows or len({len(row) for row in rows}) > 1:
        return None
    rows[0] = [name.strip() for name in rows[0]]
    # A name that is there twice names the first of its columns.
    return [rows[0]] + [[row[rows[0].index(name)] for name in rows[0]] for row in rows[1:]]


@pytest.mark.parametrize("ending", ["csv", "tsv"])
@settings(deadline=None, max_examples=400)
@given(st.text(st.sampled_from('a",\n\r\t'), max_size=40), st.integers(1, 50))
@example('a,b\n"x"y,1\n', 4)
@example('a\n"', 1)
@example('a\n5"\n"6"\n', 3)
@example('a\n""\n\n"""",\n', 3)
def test_any_text_gives_the_rows_of_python_or_is_refused_by_both(
    ending: str, text: str, block: int
) -> None:
    assert outcome(text, ending, block) == expected(text, ending)


cells = st.text(st.sampled_from(SPECIAL.replace("\0", "")), max_size=6)


def write_cell(cell: str, quoted: bool, ending: str) -> str:
    if ending == "tsv":
        return re.sub(r"[\t\r\n]", " ", cell)
    if quoted or cell.startswith('"') or re.search("[,\r\n]", cell):
        return '"' + cell.replace('"', '""') + '"'
    return cell


@pytest.mark.parametrize("ending", ["csv", "tsv"])
@settings(deadline=None, max_examples=300)
@given(
    st.lists(st.lists(st.tuples(cells, st.booleans()), min_size=2, max_size=2), max_size=30),
    st.integers(1, 60),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.booleans(),
)
def test_rows_that_were_written_are_read(
    ending: str, rows: list[list[tuple[str, bool]]], block: int, end: str, last: bool
) -> None:
    delimiter = "," if ending == "csv" else "\t"
    lines = [delimiter.join(("path", 'y"0'))]
    lines += [delimiter.join(write_cell(*cell, ending) for cell in row) for row in rows]
    text = end.join(lines) + (end if last else "")
    found, notes = read(text, ending, block)
    reference = rows_of_csv(text) if ending == "csv" else rows_of_tsv(text)
    reference[0] = [name.strip() for name in reference[0]]
    assert found == reference
    # Rows are lines, but where quoted line breaks were read, and that is said.
    count = len([line for line in re.split(r"\r\n|\r|\n", text) if line])
    inside = any("\r" in cell or "\n" in cell for row in reference for cell in row)
    assert len(found) == count or inside
    assert any("line breaks" in note for note in notes) == inside


@settings(deadline=None, max_examples=300)
@given(st.text(st.sampled_from('a",\n'), max_size=40))
@example('""a,"')
def test_both_ways_to_find_quoted_cells_agree(text: str) -> None:
    data = text.encode()
    quick, slow = QuotedCells._by_turns(data), QuotedCells._one_by_one(data)
    if quick is not None:
        places = np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n"))
        assert quick.hold(places).tolist() == slow.hold(places).tolist()
        assert (quick.open_at, None) == (slow.open_at, slow.bad_at)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            'path,y0\na,1\n\n"b,2\nc,3\n',
            "line 4: the quotation mark that opens a",
        ),
        ('path,y0\na,1\nb,"', "line 3: the quotation mark that opens"),
        ('path,y0\n"a""b"", 1', "line 2: the quotation mark that opens"),
        ('path,y0\n"x\ny"z,1\n', "line 3: text follows the quotation mark that ends a cell"),
        ('"path,y0\na,1\n', "line 1: the quotation mark that opens"),
        ("path,y0\n" + "a,1\n" * 999 + '",1', "line 1001: the quotation mark that opens"),
    ],
)
@pytest.mark.parametrize("block", [3, 64, BLOCK])
def test_marks_that_quote_no_cell_are_named_with_their_line(
    text: str, words: str, block: int
) -> None:
    for data in (text, text.replace("\n", "\r\n"), text.replace("\n", "\r")):
        with pytest.raises(TableError, match=words):
            read(data, "csv", block)


def test_a_mark_without_end_stops_the_reading_of_a_large_table() -> None:
    text = b'path,y0\n"a,1\n' + b"b,2\n" * 9_000_000
    with pytest.raises(TableError, match=r"line 2: .* is not closed within 16,777,216 bytes"):
        read(text, "csv")
    with pytest.raises(TableError, match="line 2 has more than 16,777,216 bytes"):
        read(b"path\ty0\n" + b"a" * 20_000_000, "tsv")


def test_cells_of_megabytes_are_read() -> None:
    rows = [["path", "y0"], ["a", "1" * 3_500_000], ["b", "2"]]
    assert read("".join(",".join(row) + "\n" for row in rows), "csv")[0] == rows
    rows[1][1] += "\n,"
    text = "".join(",".join(f'"{cell}"' for cell in row) + "\n" for row in rows)
    assert read(text, "csv")[0] == rows


def test_line_breaks_in_cells_and_cells_in_marks_are_noted() -> None:
    _, notes = read('path,y0\na,"1\r\n2\n"\n"b","\n"\n', "csv", 9)
    assert notes == [
        "line breaks inside of quoted cells: 3, the first one in line 2; there are fewer rows than "
        "lines"
    ]
    rows, notes = read('path\ty0\n"a"\t1\nb\t""\n"\t5"\n', "tsv", 9)
    assert rows[1:] == [['"a"', "1"], ["b", '""'], ['"', '5"']]
    assert len(notes) == 1
    assert notes[0].startswith("cells that begin and end with quotation marks: 2;")
    assert read('path,y0\n"a",1\n', "csv")[1] == []


@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf", b"\n\r\n", b"\xef\xbb\xbf\n"])
@pytest.mark.parametrize("ending", ["csv", "tsv"])
def test_the_mark_of_utf_8_and_empty_lines_are_no_text(ending: str, start: bytes) -> None:
    """At the start of the file; in its midst that mark is a character."""
    text = start + "path\n\n\ufeffa\n\n\ufeffb".encode()
    for block in (1, 2, 3, 9, BLOCK):
        assert read(text, ending, block)[0] == [["path"], ["\ufeffa"], ["\ufeffb"]]


def test_each_image_keeps_its_label_beside_marks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = write_images(tmp_path, 6, (16, 8))
    for texts in ('a"bc"d', 'a""bcd', '"abcd"'):
        lines = [f"{n}\t{c}\t{k}\n" for k, (n, c) in enumerate(zip(names, texts, strict=True))]
        (tmp_path / "t.tsv").write_text("path\tchar\ty0\n" + "".join(lines))
        arguments = [str(tmp_path / "t.tsv"), str(tmp_path / "out"), "--overwrite"]
        arguments += ["--crop", "none", "--size", "16x8", "--engine", "inline"]
        assert main(arguments) == 0
        (batch,) = open_shards(tmp_path / "out").batches(6, rows=True)
        assert sorted(zip(batch[2].tolist(), batch[1].tolist(), strict=True)) == [
            (k, k) for k in range(6)
        ]
        assert main([*arguments, "--labels", "char", "--text-labels"]) == 0
        shards = open_shards(tmp_path / "out")
        (batch,) = shards.batches(6, rows=True)
        words = shards.labels[0].vocabulary
        assert words is not None
        for row, label in zip(batch[2], batch[1], strict=True):
            assert words[label] == texts[row]
    text = "path,y0\n" + "".join(f'{n},"{k}\n' for k, n in enumerate(names))
    (tmp_path / "t.csv").write_text(text.replace('"', "", 5))
    arguments[0] = str(tmp_path / "t.csv")
    assert main([*arguments[:2], "--crop", "none", "--size", "16x8", "--overwrite"]) == 1
    assert "line 7: the quotation mark that opens a cell is not closed" in capsys.readouterr().err
