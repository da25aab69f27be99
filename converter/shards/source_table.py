"""The input table of a conversion, read as its options say."""

from __future__ import annotations

import os
from collections.abc import Sequence

from converter.options import ConvertOptions
from converter.table.cells.crop_boxes import CropColumns
from converter.table.read_table import read_table
from converter.table.table import Table
from shardio.errors import OptionError
from shardio.storage.paths import is_local


def check_places(tables: Sequence[str], root: str | None) -> None:
    """Raise OptionError where a table has no name, or the root is no folder."""
    if not tables or "" in tables:
        raise OptionError("the name of the table is empty")
    if root and is_local(root) and not os.path.isdir(root):
        raise OptionError(f"the root {root} is no folder")


def read_source(
    tables: Sequence[str], options: ConvertOptions, *, root: str | None, unique: bool
) -> Table:
    """Read and check the table; raises TableError, which lists bad rows."""
    return read_table(
        tables,
        labels=options.labels,
        classes=options.classes,
        root=root,
        text_labels=options.text_labels,
        vocabulary=options.vocabulary,
        shares=options.splits,
        seed=options.seed,
        image_column=options.image_column,
        crop=CropColumns.of(options.transform),
        unique=unique,
        others=options.other_heads,
        reading=options.reading,
    )
