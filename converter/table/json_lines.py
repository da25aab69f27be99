"""JSON Lines, read with Arrow in blocks of whole lines.

The file is read twice. Arrow finds the type of a column in each block for itself, so the first time
is for the names and types that suit all blocks, and the second one for the values.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from converter.table.json_nesting import refuse_deep_values
from shardio.errors import TableError
from shardio.storage import storage_for

_LONGEST_LINE = 1 << 26


def open_json(name: str, block: int) -> tuple[list[str], Callable[[list[str]], Iterator[Any]]]:
    """Return the names of the columns, and a function that yields batches of some of them."""
    import pyarrow as pa

    types: dict[str, Any] = {}
    for table in _tables(name, block, None):
        for field in table.schema:
            types[field.name] = _type_of_both(types.get(field.name, pa.null()), field.type)

    def batches(wanted: list[str]) -> Iterator[Any]:
        for table in _tables(name, block, pa.schema([(key, types[key]) for key in wanted])):
            yield from table.to_batches()

    return list(types), batches


def _type_of_both(first: Any, second: Any) -> Any:
    """Return the type for the values of two blocks; the first, which then fails, if none fits."""
    import pyarrow as pa

    # Arrow takes texts that look like a date for one, and would not give them back as they were.
    first, second = (pa.string() if pa.types.is_timestamp(t) else t for t in (first, second))
    if pa.types.is_null(first):
        return second
    if pa.types.is_integer(first) and pa.types.is_floating(second):
        return second
    return first


def _tables(name: str, block: int, schema: Any) -> Iterator[Any]:
    """Parse the blocks of a file; with a schema only its columns, and strictly as its types."""
    import pyarrow as pa
    from pyarrow import json

    rows = 0
    with storage_for(name).open_stream(name) as stream:
        for lines in _blocks(stream, block, name):
            try:
                table = json.read_json(
                    pa.BufferReader(lines),
                    read_options=json.ReadOptions(use_threads=False, block_size=len(lines) + 1),
                    parse_options=json.ParseOptions(
                        explicit_schema=schema,
                        unexpected_field_behavior="infer" if schema is None else "ignore",
                    ),
                )
            except pa.ArrowInvalid as error:
                raise pa.ArrowInvalid(_counted_from(rows, str(error))) from error
            rows += table.num_rows
            yield table


def _counted_from(rows: int, text: str) -> str:
    """Correct the row in an error of Arrow's, which counts from the start of the block."""
    if not re.search(r"\brow \d+", text):
        return f"{text} (in row {rows} or below it)"
    return re.sub(r"\brow (\d+)", lambda match: f"row {rows + int(match[1])}", text)


def _blocks(stream: Any, size: int, name: str) -> Iterator[bytes]:
    """Cut a file into blocks of some `size` bytes that end where lines do.

    A block of nothing but space is left out, unless there is no other.
    """
    rest = b""
    any_yet = False
    line = 1
    while piece := stream.read(size):
        end = max(piece.rfind(b"\n"), piece.rfind(b"\r")) + 1
        if not end:
            rest += piece
            if len(rest) > _LONGEST_LINE:
                raise TableError(f"{name} has a line of more than {_LONGEST_LINE:,} bytes")
            continue
        lines = rest + piece[:end]
        rest = piece[end:]
        refuse_deep_values(lines, name, line)
        line += lines.count(b"\n") or lines.count(b"\r")
        if not lines.isspace():
            any_yet = True
            yield lines
    refuse_deep_values(rest, name, line)
    if (not rest.isspace() and rest) or not any_yet:
        yield rest
