"""Columns of a table file, read with Arrow: texts, labels, codes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shardio.errors import TableError
from shardio.format.layout import MAX_LABEL
from shardio.storage import storage_for

# More bad rows of one column than this are counted, not described.
_DESCRIBED = 1000


@dataclass(frozen=True)
class TableReader:
    """An open table: the names of its columns, and a function that reads some of them."""

    names: list[str]
    read: Callable[[list[str]], Any]


@contextmanager
def open_table(name: str) -> Iterator[TableReader]:
    """Open a table by the ending of its name."""
    ending = name.lower().rsplit(".", 1)[-1]
    with storage_for(name).open_stream(name) as stream:
        if ending in ("csv", "tsv"):
            yield _open_csv(stream, "," if ending == "csv" else "\t")
        elif ending in ("jsonl", "ndjson", "json"):
            yield _open_json(stream)
        elif ending in ("parquet", "pq"):
            yield _open_parquet(stream)
        else:
            raise TableError(f"{name}: a table must end in .csv, .tsv, .jsonl or .parquet")


def _open_csv(stream: Any, delimiter: str) -> TableReader:
    import pyarrow as pa
    from pyarrow import csv

    # Every column is read as text: Arrow would guess a type from the first block, and its error
    # for a label that does not fit would not name the row.
    parse = csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
    header = csv.open_csv(stream, parse_options=parse)
    names = header.schema.names
    stream.seek(0)

    def read(wanted: list[str]) -> Any:
        convert = csv.ConvertOptions(
            include_columns=wanted,
            column_types={column: pa.string() for column in wanted},
            strings_can_be_null=False,
        )
        return csv.read_csv(stream, parse_options=parse, convert_options=convert)

    return TableReader(names, read)


def _open_json(stream: Any) -> TableReader:
    from pyarrow import json

    table = json.read_json(stream)
    return TableReader(table.column_names, table.select)


def _open_parquet(stream: Any) -> TableReader:
    from pyarrow import parquet

    file = parquet.ParquetFile(stream)
    return TableReader(file.schema_arrow.names, lambda wanted: file.read(columns=wanted))


def explain(error: Exception) -> str:
    """Say what is wrong with a file that Arrow refuses."""
    text = str(error).strip() or type(error).__name__
    if "UTF8" in text.upper().replace("-", "") or "UNICODE" in text.upper():
        return f"it is not UTF-8 ({text}); convert it first, for example with iconv -f GB18030"
    # Arrow numbers lines of a CSV from 1, the header counted.
    return re.sub(r"Row #(\d+)", r"line \1", text)


def texts(column: Any) -> Any:
    """Return a column as an array of strings; null becomes the empty text."""
    import pyarrow as pa
    import pyarrow.compute as pc

    column = pc.cast(column, pa.large_string())
    if column.null_count:
        column = pc.fill_null(column, "")
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def labels(column: Any, classes: int | None) -> tuple[NDArray[np.int64], list[tuple[int, str]]]:
    """Return a column as integers, and the rows that are none or out of range, with the reason."""
    import pyarrow as pa

    bad: list[tuple[int, str]]
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        numbers, bad = _from_numbers(column)
    else:
        numbers, bad = _from_texts(texts(column))
    limit = MAX_LABEL if classes is None else classes - 1
    skip = {row for row, _ in bad}
    for row in np.flatnonzero((numbers < 0) | (numbers > limit)):
        if int(row) in skip:
            continue
        if len(bad) > _DESCRIBED:
            bad.append((int(row), "out of range"))
        else:
            range_ = f"0 to {limit}" + ("" if classes is None else f" ({classes} classes)")
            bad.append((int(row), f"{numbers[row]}, not in {range_}"))
    return numbers, bad


def _from_numbers(column: Any) -> tuple[NDArray[np.int64], list[tuple[int, str]]]:
    """Whole numbers pass, also written as floating point (pandas does, beside a missing value)."""
    import pyarrow as pa

    bad = [(int(row), "missing") for row in np.flatnonzero(column.is_null().to_numpy())]
    values = column.fill_null(0).to_numpy()
    if pa.types.is_floating(column.type):
        odd = ~np.isfinite(values) | (values != np.floor(values)) | (np.abs(values) > 2**52)
        bad += [(int(row), f"{values[row]}, not an integer") for row in np.flatnonzero(odd)]
        values = np.where(odd, 0, values)
    elif values.dtype == np.uint64:
        values = np.minimum(values, np.uint64(2**63 - 1))
    return values.astype(np.int64), bad


def _from_texts(column: Any) -> tuple[NDArray[np.int64], list[tuple[int, str]]]:
    import pyarrow as pa
    import pyarrow.compute as pc

    trimmed = pc.utf8_trim_whitespace(column)
    fits = pc.match_substring_regex(trimmed, r"^[+-]?[0-9]{1,18}$")
    numbers = pc.if_else(fits, trimmed, "0")
    numbers = pc.replace_substring_regex(numbers, r"^\+", "")
    bad: list[tuple[int, str]] = []
    for row in np.flatnonzero(~fits.to_numpy(False)):
        if len(bad) > _DESCRIBED:
            bad.append((int(row), "not an integer"))
            continue
        text = column[int(row)].as_py()
        shown = text if len(text) <= 40 else text[:37] + "..."
        bad.append((int(row), f"{shown!r}, not an integer" if text.strip() else "missing"))
    return pc.cast(numbers, pa.int64()).to_numpy(), bad


def codes(column: Any) -> tuple[tuple[str, ...], NDArray[np.int32]]:
    """Return the distinct texts of a column in order, and for each row the index of its text."""
    encoded = column.dictionary_encode()
    found = encoded.dictionary.to_pylist()
    order = sorted(range(len(found)), key=found.__getitem__)
    rank = np.empty(len(found), dtype=np.int32)
    rank[order] = np.arange(len(found), dtype=np.int32)
    return tuple(sorted(found)), rank[encoded.indices.to_numpy()]
