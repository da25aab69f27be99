"""Rows of a table that `--drop` leaves out: they keep their numbers, and have no record."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from converter.table.scratch import slices
from converter.table.table import Table
from shardio.errors import OptionError
from shardio.format.row_list import parse_row_list
from shardio.grammar import counted
from shardio.storage import storage_for

# A line for each of a hundred million rows.
_MOST_BYTES = 1 << 34


def without_rows(table: Table, file: str | None) -> Table:
    """Return a table without the rows that a file lists, or the table itself without a file.

    Raises OptionError for rows that the table does not have, or has of another path, and
    FormatError for a file that is no list.
    """
    if file is None:
        return table
    listed = parse_row_list(storage_for(file).read_file(file, _MOST_BYTES), file)
    if any(row.member is not None for row in listed):
        raise OptionError(f"{file} lists rows of several joined sets; make a list of one of them")
    rows = np.unique(np.array([row.row for row in listed], dtype=np.int64))
    if rows[-1] >= len(table):
        raise OptionError(
            f"{file} lists row {rows[-1]}, and {table.name} has {counted(len(table), 'row')}, "
            "counted from 0"
        )
    if len(rows) == len(table):
        raise OptionError(f"{file} lists all rows of {table.name}: nothing is left")
    paths = [row for row in listed if row.path is not None]
    there = table.paths(np.array([row.row for row in paths], dtype=np.int64))
    for row, path in zip(paths, there, strict=True):
        if row.path != path:
            raise OptionError(
                f"{file} is a list of another table: row {row.row} is {row.path!r} there, and "
                f"{path!r} in {table.name}"
            )
    return replace(table, dropped=rows)


def dropped_splits(table: Table) -> list[str]:
    """Return the names of the splits of which no row is left."""
    if not len(table.dropped):
        return []
    size = len(table.splits)
    gone = np.bincount(table.split[table.dropped], minlength=size)
    every = sum(
        (np.bincount(table.split[rows], minlength=size) for rows in slices(len(table))),
        start=np.zeros(size, dtype=np.int64),
    )
    return [name for name, one, all_ in zip(table.splits, gone, every, strict=True) if one == all_]
