"""The first rows of a table as they were understood: for a look before anything is made."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from converter.table.table import Table
from shardio.format.label import Label, columns_of

_ROWS = 3


def first_rows(table: Table, heads: Sequence[Label]) -> list[str]:
    """Return a line for each of the first rows: its path, its labels and, of several, its split."""
    some = np.arange(min(_ROWS + len(table.dropped), len(table)))
    rows = np.setdiff1d(some, table.dropped, assume_unique=True)[:_ROWS]
    lines = []
    for row, path in zip(rows.tolist(), table.paths(rows), strict=True):
        columns = columns_of([head.kind for head in heads])
        parts = [
            f"{head.name} {head.in_words(table.labels[row, of_head])}"
            for head, of_head in zip(heads, columns, strict=True)
        ]
        if len(table.splits) > 1:
            parts.append(f"split {table.splits[table.split[row]]}")
        lines.append(f"{row}: {path}" + (f" -> {', '.join(parts)}" if parts else ""))
    return lines
