"""Table files, read with Arrow block by block: CSV, JSON Lines, Parquet."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from converter.json_lines import open_json
from shardio.errors import TableError
from shardio.storage import storage_for

# Bytes of a CSV or JSON file that are parsed at a time.
BLOCK = 1 << 20
_PARQUET_ROWS = 1 << 15


@dataclass(frozen=True)
class TableFile:
    """The names of a table's columns, and a function that yields batches of some of them."""

    names: list[str]
    batches: Callable[[list[str]], Iterator[Any]]


def open_table(name: str, block: int = BLOCK) -> TableFile:
    """Open a table by the ending of its name."""
    ending = name.lower().rsplit(".", 1)[-1]
    if ending in ("csv", "tsv"):
        return _open_csv(name, "," if ending == "csv" else "\t", block)
    if ending in ("jsonl", "ndjson", "json"):
        return TableFile(*open_json(name, block))
    if is_parquet(name):
        return _open_parquet(name)
    raise TableError(f"{name}: a table must end in .csv, .tsv, .jsonl or .parquet")


def is_parquet(name: str) -> bool:
    """Whether a table is a Parquet file, by the ending of its name."""
    return name.lower().rsplit(".", 1)[-1] in ("parquet", "pq")


# Every reading opens the file anew: Arrow reads ahead in threads of its own, which may still move
# the position of a stream when the call has returned.
def _open_csv(name: str, delimiter: str, block: int) -> TableFile:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    parse = arrow_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)

    def batches(wanted: list[str]) -> Iterator[Any]:
        # Every column is read as text: Arrow would guess a type from the first block, and its
        # error for a label that does not fit would not name the row.
        convert = arrow_csv.ConvertOptions(
            include_columns=wanted,
            column_types={column: pa.string() for column in wanted},
            strings_can_be_null=False,
        )
        # Threads would read ahead by so many blocks as there are cores, and not count the rows.
        options = arrow_csv.ReadOptions(use_threads=False, block_size=block)
        with storage_for(name).open_stream(name) as stream:
            yield from arrow_csv.open_csv(
                stream, read_options=options, parse_options=parse, convert_options=convert
            )

    return TableFile(_header(name, delimiter), batches)


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


def _open_parquet(name: str) -> TableFile:
    def batches(wanted: list[str]) -> Iterator[Any]:
        with storage_for(name).open_stream(name) as stream:
            yield from parquet_file(stream).iter_batches(
                _PARQUET_ROWS, columns=wanted, use_threads=False
            )

    with storage_for(name).open_stream(name) as stream:
        return TableFile(parquet_file(stream).schema_arrow.names, batches)


def parquet_file(stream: Any) -> Any:
    """Open a Parquet file that is read in small pieces: by itself, Arrow reads whole row groups."""
    from pyarrow import parquet

    return parquet.ParquetFile(stream, pre_buffer=False, buffer_size=BLOCK)


def explain(error: Exception) -> str:
    """Say what is wrong with a file that Arrow refuses."""
    text = str(error).strip() or type(error).__name__
    # Arrow numbers the rows of a CSV from 1, the header counted.
    text = re.sub(r"Row #(\d+)", lambda match: f"row {int(match[1]) - 2}", text)
    if re.search("invalid utf-?8", text, re.IGNORECASE):
        return f"it is not UTF-8 ({text}); convert it first, for example with iconv -f GB18030"
    return text
