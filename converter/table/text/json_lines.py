"""JSON Lines, or one array of objects, read with Arrow in blocks of whole objects.

The file is read twice. Arrow finds the type of a column in each block for itself, so the first time
is for the names and types that suit all blocks, and the second one for the values. A block that
Arrow finds no types for is looked at by Python: values of several kinds do no harm in a column that
nobody asks for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from converter.table.text.arrow_errors import counted_from
from converter.table.text.json_array import ArrayLines
from converter.table.text.json_nesting import refuse_deep_values
from converter.table.text.text_encoding import Utf8Stream
from shardio.errors import TableError

_LONGEST_LINE = 1 << 26
_START = 1 << 16


class JsonTable:
    """The table called `name` that `open_text` opens as UTF-8; `names` are those of its columns."""

    def __init__(self, name: str, open_text: Callable[[], Utf8Stream], block: int) -> None:
        import pyarrow as pa

        self._name = name
        self._open = open_text
        self._block = block
        with open_text() as stream:
            self._is_array = stream.read(_START).lstrip()[:1] == b"["
        self._types: dict[str, Any] = {}
        rows = 0
        for lines in self._blocks():
            try:
                table = _parse(lines, None, rows)
                found = {field.name: field.type for field in table.schema}
                rows += table.num_rows
            except pa.ArrowInvalid:
                objects = _objects(lines)
                if objects is None:
                    raise
                found = _types_of(objects)
                rows += len(objects)
            for name_, type_ in found.items():
                self._types[name_] = _type_of_both(self._types.get(name_, pa.null()), type_)
        self.names = list(self._types)

    def batches(self, wanted: list[str]) -> Iterator[Any]:
        """Yield Arrow batches of the columns that are wanted."""
        import pyarrow as pa

        schema = pa.schema([(key, self._types[key]) for key in wanted])
        rows = 0
        for lines in self._blocks():
            table = _parse(lines, schema, rows)
            rows += table.num_rows
            yield from table.to_batches()

    def lines_of(self, rows: Sequence[int]) -> list[int] | None:
        """Return the lines, from 1, of some rows in order; None where a line is not a row."""
        if self._is_array:
            return None
        found: list[int] = []
        line = row = 0
        for block in self._blocks(blank=True):
            for text in re.findall(rb"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+$", block):
                line += 1
                if not text.isspace():
                    if row in rows:
                        found.append(line)
                    row += 1
                    try:
                        json.loads(text)
                    except (
                        ValueError,
                        RecursionError,
                    ):  # an object of several lines, or several in one
                        return None
                if len(found) == len(rows):
                    return found
        return None

    def _blocks(self, *, blank: bool = False) -> Iterator[bytes]:
        with self._open() as stream:
            readable = ArrayLines(stream, self._name) if self._is_array else stream
            yield from _cut(readable, self._block, self._name, blank=blank)


def _objects(lines: bytes) -> list[dict[str, Any]] | None:
    """Return the objects of a block, None where it has anything else."""
    decoder = json.JSONDecoder()
    found = []
    try:
        text = lines.decode().strip()
        place = 0
        while place < len(text):
            value, place = decoder.raw_decode(text, place)
            if not isinstance(value, dict):
                return None
            found.append(value)
            while text[place : place + 1].isspace():
                place += 1
    except (ValueError, RecursionError):
        return None
    return found or None


def _types_of(objects: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return a type for each name: that of all its values, or of the first one, if there is none.

    Who then reads the column strictly is told of the first value of another kind.
    """
    import pyarrow as pa

    found: dict[str, Any] = {}
    for name in {key: None for row in objects for key in row}:
        values = [value for row in objects if (value := row.get(name)) is not None]
        for some in (values, values[:1]):
            try:
                found[name] = pa.array(some).type
                break
            except (pa.ArrowException, OverflowError):
                found[name] = pa.float64()  # an integer that is too large
    return found


def _type_of_both(first: Any, second: Any) -> Any:
    """Return the type for the values of two blocks; the first, which then fails, if none fits."""
    import pyarrow as pa

    first, second = _as_written(first), _as_written(second)
    if pa.types.is_null(first):
        return second
    if pa.types.is_integer(first) and pa.types.is_floating(second):
        return second
    if pa.types.is_list(first) and pa.types.is_list(second):
        return pa.list_(_type_of_both(first.value_type, second.value_type))
    return first


def _as_written(type_: Any) -> Any:
    """Return the type that keeps texts: Arrow takes those that look like a date for one.

    It would not give them back as they were; nor would it in lists.
    """
    import pyarrow as pa

    inner, levels = type_, 0
    while pa.types.is_list(inner):  # there may be more of them than Python calls itself
        inner, levels = inner.value_type, levels + 1
    if not pa.types.is_timestamp(inner):
        return type_
    kept = pa.string()
    for _ in range(levels):
        kept = pa.list_(kept)
    return kept


def _parse(lines: bytes, schema: Any, rows: int) -> Any:
    """Parse a block; with a schema only its columns, and strictly as its types."""
    import pyarrow as pa
    from pyarrow import json as arrow_json

    try:
        return arrow_json.read_json(
            pa.BufferReader(lines),
            read_options=arrow_json.ReadOptions(use_threads=False, block_size=len(lines) + 1),
            parse_options=arrow_json.ParseOptions(
                explicit_schema=schema,
                unexpected_field_behavior="infer" if schema is None else "ignore",
            ),
        )
    except pa.ArrowInvalid as error:
        raise pa.ArrowInvalid(counted_from(rows, str(error))) from error


def _cut(stream: Any, size: int, name: str, *, blank: bool = False) -> Iterator[bytes]:
    """Cut a file into blocks of some `size` bytes that end where lines do.

    A block of nothing but space is left out, unless there is no other or `blank` asks for it.
    """
    rest = b""
    any_yet = False
    line = 1
    while piece := stream.read(size):
        if piece.endswith(b"\r"):  # a line feed may follow
            piece += stream.read(1)
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
        if blank or not lines.isspace():
            any_yet = True
            yield lines
    refuse_deep_values(rest, name, line)
    if (not rest.isspace() and rest) or not any_yet:
        yield rest
