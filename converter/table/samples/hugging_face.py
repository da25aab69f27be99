"""What Hugging Face datasets write into the schema of a table: images, and the names of classes.

A column of images is a struct of `bytes` and `path`, of which one may be null in all rows. The
names of classes stand in the metadata `huggingface`, as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

_KEY = b"huggingface"

ClassNames = Mapping[str, tuple[str, ...]]
# Rows, and what is wrong with each.
Unnamed = tuple[NDArray[np.int64], Callable[[int], str]]


def image_columns(schema: Any) -> tuple[str, ...]:
    """Return the columns that hold images as Hugging Face writes them."""
    import pyarrow as pa

    def is_image(kind: Any) -> bool:
        if not pa.types.is_struct(kind) or {field.name for field in kind} != {"bytes", "path"}:
            return False
        data, path = kind.field("bytes").type, kind.field("path").type
        is_data = pa.types.is_binary(data) or pa.types.is_large_binary(data)
        return bool(is_data and (pa.types.is_string(path) or pa.types.is_large_string(path)))

    return tuple(field.name for field in schema if is_image(field.type))


def bytes_columns(schema: Any) -> tuple[str, ...]:
    """Return the columns of bytes, which may be image files."""
    import pyarrow as pa

    is_bytes = (pa.types.is_binary, pa.types.is_large_binary)
    return tuple(field.name for field in schema if any(one(field.type) for one in is_bytes))


def class_names(schema: Any) -> dict[str, tuple[str, ...]]:
    """Return the names of the classes of each column that has some; they may not be distinct."""
    try:
        features = json.loads((schema.metadata or {})[_KEY])["info"]["features"].items()
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}
    found = {}
    for column, feature in features:
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel":
            names = feature.get("names")
            if isinstance(names, list) and names and all(isinstance(one, str) for one in names):
                found[column] = tuple(names)
    return found


def is_null_throughout(metadata: Any, leaf: str) -> bool:
    """Whether a Parquet file says that a column is null in all of its rows."""
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        for part in map(group.column, range(group.num_columns)):
            if part.path_in_schema != leaf:
                continue
            if not part.is_stats_set or part.statistics.null_count != part.num_values:
                return False
    return bool(metadata.num_rows)


def with_texts(batch: Any, names: ClassNames) -> tuple[Any, list[Unnamed]]:
    """Put the names of classes in place of their numbers; null for -1, which is no class.

    Returns the rows of other numbers without a name as well.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    bad = []
    for column in names:
        if pa.types.is_integer(batch.column(column).type):
            number = pc.cast(batch.column(column), pa.int64())
            bad.append(_without_name(column, number, len(names[column])))
            is_one = pc.and_(pc.greater_equal(number, 0), pc.less(number, len(names[column])))
            number = pc.if_else(is_one, number, pa.scalar(None, pa.int64()))
            texts = pa.array(names[column], pa.large_string()).take(number)
            place = batch.schema.get_field_index(column)
            batch = batch.set_column(place, column, texts)
    return batch, bad


def _without_name(column: str, numbers: Any, count: int) -> Unnamed:
    found = numbers.fill_null(-1).to_numpy(zero_copy_only=False)
    return (
        np.flatnonzero((found < -1) | (found >= count)),
        lambda row: f"{column} is {found[row]}, and {count} classes have names",
    )
