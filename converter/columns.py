"""Columns of a table file, read with Arrow: texts, labels, codes."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shardio.errors import TableError
from shardio.format.layout import MAX_LABEL
from shardio.storage import storage_for

_JSON_BLOCK = 1 << 20
_JSON_LARGE_BLOCK = 1 << 30

# More bad rows of one column than this are counted, not described.
_DESCRIBED = 1000


@dataclass(frozen=True)
class TableReader:
    """A table file: the names of its columns, and a function that reads some of them."""

    names: list[str]
    read: Callable[[list[str]], Any]


def open_table(name: str) -> TableReader:
    """Open a table by the ending of its name."""
    ending = name.lower().rsplit(".", 1)[-1]
    if ending in ("csv", "tsv"):
        return _open_csv(name, "," if ending == "csv" else "\t")
    if ending in ("jsonl", "ndjson", "json"):
        return _open_json(name)
    if ending in ("parquet", "pq"):
        return _open_parquet(name)
    raise TableError(f"{name}: a table must end in .csv, .tsv, .jsonl or .parquet")


# Every reading opens the file anew: Arrow reads ahead in threads of its own, which may still move
# the position of a stream when the call has returned.
def _open_csv(name: str, delimiter: str) -> TableReader:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    parse = arrow_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)

    def read(wanted: list[str], threads: bool = True) -> Any:
        # Every column is read as text: Arrow would guess a type from the first block, and its
        # error for a label that does not fit would not name the row.
        convert = arrow_csv.ConvertOptions(
            include_columns=wanted,
            column_types={column: pa.string() for column in wanted},
            strings_can_be_null=False,
        )
        with storage_for(name).open_stream(name) as stream:
            try:
                return arrow_csv.read_csv(
                    stream,
                    read_options=arrow_csv.ReadOptions(use_threads=threads),
                    parse_options=parse,
                    convert_options=convert,
                )
            except pa.ArrowInvalid:
                if not threads:
                    raise
        return read(wanted, threads=False)  # this way, the error names the row

    return TableReader(_header(name, delimiter), read)


def _header(name: str, delimiter: str) -> list[str]:
    """Return the names in the first line of a CSV file that is not blank."""
    with (
        storage_for(name).open_stream(name) as stream,
        # What is not UTF-8 is for the reading of the whole file to report.
        io.TextIOWrapper(stream, "utf-8-sig", errors="replace", newline="") as text,
    ):
        try:
            found = next((line for line in csv.reader(text, delimiter=delimiter) if line), None)
        except csv.Error as error:
            raise TableError(f"{name}: its first line cannot be read: {error}") from error
    if found is None:
        raise TableError(f"{name} is empty")
    return found


def _open_json(name: str) -> TableReader:
    import pyarrow as pa
    from pyarrow import json

    def read(schema: Any = None, block: int = _JSON_BLOCK) -> Any:
        with storage_for(name).open_stream(name) as stream:
            try:
                return json.read_json(
                    stream,
                    read_options=json.ReadOptions(block_size=block),
                    parse_options=json.ParseOptions(explicit_schema=schema),
                )
            except pa.ArrowInvalid:
                # Arrow counts rows from the start of a block: in one large block, it names the
                # right one, and a line that was longer than a block finds its place.
                if block >= _JSON_LARGE_BLOCK:
                    raise
        return read(schema, _JSON_LARGE_BLOCK)

    table = read()
    # Arrow takes texts that look like a date for one, and would not give them back as they were.
    dates = [field.name for field in table.schema if pa.types.is_timestamp(field.type)]
    if dates:
        table = read(pa.schema([(column, pa.string()) for column in dates]))
    return TableReader(table.column_names, table.select)


def _open_parquet(name: str) -> TableReader:
    from pyarrow import parquet

    def read(wanted: list[str]) -> Any:
        with storage_for(name).open_stream(name) as stream:
            return parquet.ParquetFile(stream).read(columns=wanted)

    with storage_for(name).open_stream(name) as stream:
        return TableReader(parquet.ParquetFile(stream).schema_arrow.names, read)


def explain(error: Exception) -> str:
    """Say what is wrong with a file that Arrow refuses."""
    text = str(error).strip() or type(error).__name__
    # Arrow numbers the rows of a CSV from 1, the header counted.
    text = re.sub(r"Row #(\d+)", lambda match: f"row {int(match[1]) - 2}", text)
    if re.search("invalid utf-?8", text, re.IGNORECASE):
        return f"it is not UTF-8 ({text}); convert it first, for example with iconv -f GB18030"
    return text


def texts(column: Any) -> Any:
    """Return a column as an array of strings; null becomes the empty text."""
    import pyarrow as pa
    import pyarrow.compute as pc

    column = pc.cast(column, pa.large_string())
    column.validate(full=True)  # JSON is read without a look at its UTF-8
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
    range_ = f"0 to {limit}" + ("" if classes is None else f" ({classes} classes)")
    # Rows that are none have a zero here, which is always in range.
    outside = np.flatnonzero((numbers < 0) | (numbers > limit))
    for count, row in enumerate(outside):
        value = f"{numbers[row]}, not" if count < _DESCRIBED else "not"
        bad.append((int(row), f"{value} in {range_}"))
    return numbers, bad


def _from_numbers(column: Any) -> tuple[NDArray[np.int64], list[tuple[int, str]]]:
    """Whole numbers pass, also written as floating point (pandas does, beside a missing value)."""
    import pyarrow as pa

    bad = [(int(row), "missing") for row in np.flatnonzero(column.is_null().to_numpy())]
    values = column.fill_null(0).to_numpy()
    if pa.types.is_floating(column.type):
        values = values.astype(np.float64)
        odd = ~np.isfinite(values) | (values != np.floor(values)) | (np.abs(values) > 2**52)
        bad += [(int(row), f"{values[row]}, not an integer") for row in np.flatnonzero(odd)]
        values = np.where(odd, 0, values)
    elif values.dtype == np.uint64:
        large = values > np.uint64(2**63 - 1)
        bad += [(int(row), f"{values[row]}, too large") for row in np.flatnonzero(large)]
        values = np.where(large, np.uint64(0), values)
    return values.astype(np.int64), bad


def _from_texts(column: Any) -> tuple[NDArray[np.int64], list[tuple[int, str]]]:
    import pyarrow as pa
    import pyarrow.compute as pc

    trimmed = pc.utf8_trim_whitespace(column)
    fits = pc.match_substring_regex(trimmed, r"^[+-]?[0-9]{1,18}$")
    numbers = pc.if_else(fits, trimmed, "0")
    numbers = pc.replace_substring_regex(numbers, r"^\+", "")
    bad: list[tuple[int, str]] = []
    # One that is wrong is a slip; a column of them are texts.
    hint = "" if pc.any(fits).as_py() else " (labels that are texts need --text-labels)"
    for row in np.flatnonzero(~fits.to_numpy(False)):
        if len(bad) > _DESCRIBED:
            bad.append((int(row), "not an integer"))
            continue
        text = column[int(row)].as_py()
        shown = text if len(text) <= 40 else text[:37] + "..."
        bad.append((int(row), f"{shown!r}, not an integer{hint}" if text.strip() else "missing"))
    return pc.cast(numbers, pa.int64()).to_numpy(), bad


def codes(column: Any) -> tuple[tuple[str, ...], NDArray[np.int32]]:
    """Return the distinct texts of a column in order, and for each row the index of its text."""
    encoded = column.dictionary_encode()
    found = encoded.dictionary.to_pylist()
    order = sorted(range(len(found)), key=found.__getitem__)
    rank = np.empty(len(found), dtype=np.int32)
    rank[order] = np.arange(len(found), dtype=np.int32)
    return tuple(sorted(found)), rank[encoded.indices.to_numpy()]
