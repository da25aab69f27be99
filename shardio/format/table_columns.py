"""The names of the columns of records.parquet, spelled here and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence

# Where a record is, and what it was made of; the labels come after these.
PLACE_COLUMNS = ("split", "shard", "number", "row", "path")


def label_columns(labels: Sequence[str]) -> dict[str, str]:
    """Return the column of each label, by the label's name; no two are the same.

    A label with the name of another column becomes `label.NAME`, with `label.` once more where that
    is a label too.
    """
    taken = {*PLACE_COLUMNS, *(name for name in labels if name not in PLACE_COLUMNS)}
    columns = {}
    for name in labels:
        column = name
        if name in PLACE_COLUMNS:
            while column in taken:
                column = f"label.{column}"
            taken.add(column)
        columns[name] = column
    return columns
