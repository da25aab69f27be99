"""Table files, read with Arrow block by block: CSV, JSON Lines, Parquet."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from converter.table.delimited import DelimitedTable
from converter.table.json_lines import open_json
from shardio.errors import TableError
from shardio.storage import storage_for

# Bytes of a CSV or JSON file that are parsed at a time.
BLOCK = 1 << 20
_PARQUET_ROWS = 1 << 15


@dataclass(frozen=True)
class TableFile:
    """The names of a table's columns, and a function that yields batches of some of them.

    `notes` returns what was found on the way that may be a slip.
    """

    names: list[str]
    batches: Callable[[list[str]], Iterator[Any]]
    notes: Callable[[], list[str]] = list


def open_table(name: str, block: int = BLOCK) -> TableFile:
    """Open a table by the ending of its name."""
    ending = name.lower().rsplit(".", 1)[-1]
    if ending in ("csv", "tsv"):
        table = DelimitedTable(name, "," if ending == "csv" else "\t", block)
        return TableFile(table.names, table.batches, table.notes)
    if ending in ("jsonl", "ndjson", "json"):
        return TableFile(*open_json(name, block))
    if is_parquet(name):
        return _open_parquet(name)
    raise TableError(f"{name}: a table must end in .csv, .tsv, .jsonl or .parquet")


def is_parquet(name: str) -> bool:
    """Whether a table is a Parquet file, by the ending of its name."""
    return name.lower().rsplit(".", 1)[-1] in ("parquet", "pq")


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
    if re.search("invalid utf-?8", text, re.IGNORECASE):
        return f"it is not UTF-8 ({text}); convert it first, for example with iconv -f GB18030"
    return text
