"""How the lines of a table are divided, and whether the first one names the columns."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from converter.table.paths.folder_listing import IMAGE_ENDINGS, ending_of
from shardio.errors import TableError

NAMES = {",": "comma", "\t": "tab", ";": "semicolon", "|": "vertical bar", " ": "space"}
# Those that quote cells as CSV does.
QUOTING = (",", ";")
_MOST_ROWS = 200
_SHOWN = 60
# A list of more columns may have anything in them: numbers of its lines, boxes.
_PLAIN = 2

Rows = list[list[str]]


@dataclass(frozen=True)
class Dialect:
    """What divides cells, and the names of the columns where no header has them."""

    delimiter: str
    columns: tuple[str, ...] | None = None

    @property
    def quotes(self) -> bool:
        """Whether quotation marks quote cells."""
        return self.delimiter in QUOTING

    def line(self, names: Sequence[str]) -> str:
        """Say what was found."""
        divided = NAMES.get(self.delimiter, repr(self.delimiter))
        head = "no header, columns" if self.columns is not None else "header"
        return f"{divided}, {head} {', '.join(names)}"


def find_dialect(
    name: str,
    text: str,
    *,
    usual: str | None,
    delimiter: str | None,
    columns: tuple[str, ...] | None,
    path: str,
) -> Dialect:
    """Find how a table is written from the lines at its start.

    `usual` is the delimiter that the ending of the name tells of, `delimiter` and `columns` what
    was asked for, `path` the column of paths. Raises TableError where there are several ways to
    read the table.
    """
    if delimiter is not None:
        tried = [delimiter]
    else:
        tried = [*([usual] if usual else []), *(one for one in NAMES if one != usual)]
    readings = {one: rows for one in tried if (rows := rows_of(text, one))}
    if not readings:
        return Dialect(tried[0], columns)  # it is empty, or its marks are wrong: the reader says
    if columns is not None:
        return _named(name, readings, columns, path, usual)
    headed = [one for one, rows in readings.items() if path in rows[0]]
    if headed:
        return Dialect(_choose(name, readings, headed, usual))
    listed = {
        one: where for one, rows in readings.items() if (where := _path_in_all(rows)) is not None
    }
    if not listed:
        # Some other header; who reads the columns says what is missing.
        even = [one for one, rows in readings.items() if _is_even(rows) and len(rows[0]) > 1]
        return Dialect(tried[0] if not even or tried[0] in even else even[0])
    return _without_header(name, readings, listed, path, usual)


def rows_of(text: str, delimiter: str) -> Rows:
    """Return the first rows of some whole lines; none where quotation marks are wrong."""
    if delimiter in QUOTING:
        try:
            rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
            found = [row for row in islice(rows, _MOST_ROWS) if row]
            return [[cell.strip() for cell in row] for row in found]
        except csv.Error:
            return []
    lines = [line for line in re.split(r"\r\n|\r|\n", text) if line][:_MOST_ROWS]
    return [[cell.strip() for cell in line.split(delimiter)] for line in lines]


def _is_even(rows: Rows) -> bool:
    return len({len(row) for row in rows}) == 1


def _path_in_all(rows: Rows) -> int | None:
    """Return the only column in which all rows, the first one too, name an image."""
    if not _is_even(rows):
        return None
    found = [
        column
        for column in range(len(rows[0]))
        if all(ending_of(row[column]) in IMAGE_ENDINGS for row in rows)
    ]
    return found[0] if len(found) == 1 else None


def _choose(name: str, readings: dict[str, Rows], some: Sequence[str], usual: str | None) -> str:
    """Return the only delimiter of some, or the usual one; TableError for several."""
    if usual in some:
        return str(usual)
    wide = [one for one in some if len(readings[one][0]) > 1]
    if not wide:  # one column alone is read with any of them
        return "\t" if "\t" in some else some[0]
    if "\t" in wide:  # no name of a file has a tab
        return "\t"
    even = [one for one in wide if _is_even(readings[one])] or wide
    if len(even) > 1:
        raise TableError(_two_ways(name, readings, even))
    return even[0]


def _two_ways(name: str, readings: dict[str, Rows], some: Sequence[str]) -> str:
    shown = ", or ".join(f"{readings[one][0]} divided by {NAMES[one]}" for one in some)
    return (
        f"{name} may be read in several ways, its first line as {shown}; --delimiter says which "
        "one is meant"
    )


def _named(
    name: str,
    readings: dict[str, Rows],
    columns: tuple[str, ...],
    path: str,
    usual: str | None,
) -> Dialect:
    fits = [one for one, rows in readings.items() if len(rows[0]) == len(columns)]
    if not fits:
        shown = ", ".join(
            f"{len(rows[0])} divided by {NAMES.get(one, repr(one))}"
            for one, rows in readings.items()
        )
        raise TableError(
            f"{name} has not the {len(columns)} columns {', '.join(columns)}: its first line has "
            f"{shown}"
        )
    chosen = _choose(name, readings, fits, usual)
    first = readings[chosen][0]
    if first == list(columns) or (path in columns and first[columns.index(path)] == path):
        raise TableError(
            f"{name} has a header, {', '.join(first)}, which --columns would make a row; leave "
            "--columns out"
        )
    return Dialect(chosen, columns)


def _without_header(
    name: str, readings: dict[str, Rows], listed: dict[str, int], path: str, usual: str | None
) -> Dialect:
    """Name the columns of a list of images with one label at most; TableError for others."""
    chosen = _choose(name, readings, list(listed), usual)
    first = readings[chosen][0]
    whole = [one for one in listed if len(readings[one][0]) == 1]
    if whole and len(first) > 1 and chosen not in (usual, "\t"):
        raise TableError(_two_ways(name, readings, [chosen, whole[0]]))
    labels = iter(f"y{number}" for number in range(len(first)))
    names = [path if column == listed[chosen] else next(labels) for column in range(len(first))]
    if len(first) <= _PLAIN:
        return Dialect(chosen, tuple(names))
    raise TableError(
        f"{name} has no header, and {len(first)} columns divided by {NAMES[chosen]} "
        f"({chosen.join(first)[:_SHOWN]!r}); name them, for example with "
        f"--columns {','.join(names)}"
    )
