"""A list of rows of an input table, as people make it, and `shardio-read browse` writes it.

It is a CSV file whose header has `row`, and `path` where the rows can be compared with the table's;
of several joined sets also `member`. Other columns are left out of account, so rejects.csv is such
a list too. A file of numbers alone, one in a line, is taken as well.
"""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass

from shardio.errors import FormatError
from shardio.format.layout import MAX_ROW
from shardio.grammar import counted

_NUMBER = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True)
class ListedRow:
    """A row; `member` is the number of its set in a join, `path` what the table says of it."""

    row: int
    path: str | None = None
    member: int | None = None


def parse_row_list(data: bytes, name: str) -> list[ListedRow]:
    """Read a list; FormatError, with `name` and the line, for what is none."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FormatError(f"{name} is no list of rows: it is not UTF-8 ({error})") from error
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    found: list[ListedRow] = []
    header: list[str] | None = None
    try:
        for cells in lines:
            if not cells or cells == [""]:
                continue
            if header is None:
                if header := _header(cells, name):
                    continue
                header = ["row"]
            if len(cells) != len(header):
                raise FormatError(
                    f"{name}, line {lines.line_num}: {counted(len(cells), 'cell')}, and the first "
                    f"line has {len(header)}; a path with a comma in it stands in quotation marks"
                )
            found.append(_listed(dict(zip(header, cells, strict=True)), lines.line_num, name))
    except csv.Error as error:
        raise FormatError(f"{name}, line {lines.line_num}: {error}") from error
    if not found:
        raise FormatError(f"{name} lists no rows")
    return found


def _header(cells: list[str], name: str) -> list[str]:
    """Return the names of the columns; none where the first line is a number already."""
    if len(cells) == 1 and _NUMBER.fullmatch(cells[0].strip()):
        return []
    if "row" not in cells:
        raise FormatError(
            f"{name} is no list of rows: its first line must name a column row, such as row,path, "
            "or each line be a number"
        )
    for column in ("row", "path", "member"):
        if cells.count(column) > 1:
            raise FormatError(f"{name} has {cells.count(column)} columns {column}; leave one")
    return cells


def _listed(cells: dict[str, str], line: int, name: str) -> ListedRow:
    numbers = {}
    for column in ("row", "member"):
        text = cells.get(column)
        if text is None and column == "member":
            continue
        if text is None or not _NUMBER.fullmatch(text.strip()) or int(text) > MAX_ROW:
            raise FormatError(
                f"{name}, line {line}: {column} must be a number from 0, not {text!r}"
            )
        numbers[column] = int(text)
    return ListedRow(numbers["row"], cells.get("path") or None, numbers.get("member"))
