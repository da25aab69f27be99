"""The first rows of a table as they were understood: for a look before anything is made."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from converter.table.table import Table
from shardio.format.label import Label

_ROWS = 3


def first_rows(table: Table, heads: Sequence[Label]) -> list[str]:
    """Return a line for each of the first rows: its path, its labels and, of several, its split."""
    rows = np.arange(min(_ROWS, len(table)))
    lines = []
    for row, path in zip(rows.tolist(), table.paths(rows), strict=True):
        parts = [
            f"{head.name} {label}"
            if head.vocabulary is None
            else f"{head.name} {label} ({head.vocabulary[label]})"
            for head, label in zip(heads, table.labels[row].tolist(), strict=True)
        ]
        if len(table.splits) > 1:
            parts.append(f"split {table.splits[table.split[row]]}")
        lines.append(f"{row}: {path}" + (f" -> {', '.join(parts)}" if parts else ""))
    return lines
