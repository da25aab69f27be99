"""The files of a table, read with Arrow block by block: lines of cells, JSON, Parquet, Arrow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from converter.table.inputs import TableInput
from converter.table.paths.kinds import Kind
from converter.table.reading import PATH, Reading
from converter.table.samples.hugging_face import (
    bytes_columns,
    class_names,
    image_columns,
    is_null_throughout,
)
from converter.table.samples.image_folder import open_folder
from converter.table.samples.lmdb_set import open_lmdb
from converter.table.samples.table_file import TableFile
from converter.table.samples.tfrecords import open_tfrecords
from converter.table.samples.webdataset import open_webdataset
from converter.table.scratch import Scratch
from converter.table.text.delimited import DelimitedTable
from converter.table.text.dialect import find_dialect
from converter.table.text.json_lines import JsonTable
from converter.table.text.text_encoding import NAMES, Utf8Stream, find_encoding
from shardio.errors import TableError
from shardio.storage import storage_for

# Bytes of a CSV or JSON file that are parsed at a time.
BLOCK = 1 << 20
_PARQUET_ROWS = 1 << 15
# Bytes at the start of a file that show how its lines are divided.
_SAMPLE = 1 << 16
# How a file of Arrow batches starts; a stream of them does not.
_ARROW = b"ARROW1"
_LONGEST_LINE = 1 << 24
_HINT = (
    " (the first line must be the header); --columns path,y0 names the columns of a list without "
    "one"
)


def open_file(
    table: TableInput,
    reading: Reading,
    scratch: Scratch,
    *,
    root: str,
    image_column: str | None = None,
    block: int = BLOCK,
) -> TableFile:
    """Open a file of a table; TableError where it may be read in several ways, or in none.

    Of files with images in them, what is known of the samples is kept in `scratch`, and paths are
    relative to `root`.
    """
    if table.kind is Kind.TAR:
        return open_webdataset(table.location, scratch, root=root, image=image_column)
    if table.kind is Kind.TFRECORD:
        return open_tfrecords(table.location, scratch, root=root, image=image_column)
    if table.kind is Kind.LMDB:
        if image_column is not None:
            raise TableError(f"{table.name}: an LMDB has one image a sample; no --image-column")
        return open_lmdb(table.location, scratch, root=root)
    packed = "" if table.compression is None else f", {table.compression}"
    if table.listing is not None:
        return open_folder(table.listing, splits=reading.split_column is None)
    if table.kind is Kind.PARQUET:
        return _open_parquet(table, reading.path)
    if table.kind is Kind.ARROW:
        return _open_arrow(table)
    encoding = reading.encoding or find_encoding(table)
    text = partial(Utf8Stream, table, encoding)
    shown = NAMES.get(encoding, encoding.upper())
    if table.kind is Kind.JSON:
        json = JsonTable(table.name, text, block)
        return TableFile(
            table.name, json.names, json.batches, f"JSON, {shown}{packed}", lines_of=json.lines_of
        )
    dialect = find_dialect(
        table.name,
        _first_lines(text),
        usual=table.delimiter,
        delimiter=reading.delimiter,
        columns=reading.columns,
        path=reading.path,
    )
    lines = DelimitedTable(table.name, text, dialect, block)
    return TableFile(
        table.name,
        lines.names,
        lines.batches,
        f"{shown}{packed}, {dialect.line(lines.names)}",
        lines.notes,
        lines.lines_of,
        dialect.columns is None,
        _HINT,
    )


def _first_lines(open_text: Callable[[], Utf8Stream]) -> str:
    """Return the first whole lines of a text, at least one."""
    data = b""
    with open_text() as stream:
        while piece := stream.read(max(_SAMPLE, len(data))):
            data += piece
            end = max(data.rfind(b"\n"), data.rfind(b"\r")) + 1
            if len(data) >= _SAMPLE and (end or len(data) > _LONGEST_LINE):
                data = data[:end]
                break
    return data.decode("utf-8", "replace")


def _open_parquet(table: TableInput, path: str) -> TableFile:
    with storage_for(table.location).open_stream(table.location) as stream:
        file = parquet_file(stream)
        schema, data = file.schema_arrow, file.metadata
    names, images = schema.names, image_columns(schema)
    # Images that are not in the file, but are named by it.
    named = [one for one in images if is_null_throughout(data, f"{one}.bytes")]
    place = named[0] if len(named) == 1 and path == PATH and PATH not in names else None
    place = path if path in named else place

    def batches(wanted: list[str]) -> Iterator[Any]:
        import pyarrow.compute as pc

        leaves = [f"{place}.path" if one == path and place else one for one in wanted]
        with storage_for(table.location).open_stream(table.location) as stream:
            for batch in parquet_file(stream).iter_batches(
                _PARQUET_ROWS, columns=leaves, use_threads=False
            ):
                if place and path in wanted:
                    at = batch.schema.get_field_index(place)
                    paths = pc.struct_field(batch.column(at), "path")
                    batch = batch.set_column(at, path, paths)
                yield batch

    return TableFile(
        table.name,
        [*names, path] if place and path not in names else names,
        batches,
        f"Parquet, paths from {place}" if place else "Parquet",
        image_columns=tuple(one for one in images if one not in named),
        named_images=tuple(named),
        bytes_columns=bytes_columns(schema),
        class_names=class_names(schema),
    )


def parquet_file(stream: Any) -> Any:
    """Open a Parquet file that is read in small pieces: by itself, Arrow reads whole row groups."""
    from pyarrow import parquet

    return parquet.ParquetFile(stream, pre_buffer=False, buffer_size=BLOCK)


def _open_arrow(table: TableInput) -> TableFile:
    @contextmanager
    def opened(wanted: list[str] | None) -> Iterator[tuple[Any, Iterator[Any]]]:
        """Open the file, whose batches have the wanted columns: a file of batches, or a stream."""
        import pyarrow as pa
        from pyarrow import ipc

        with storage_for(table.location).open_stream(table.location) as stream:
            is_file = stream.read(len(_ARROW)) == _ARROW
            stream.seek(0)
            source = pa.PythonFile(stream, "r")
            if not is_file:
                reader = ipc.open_stream(source, options=ipc.IpcReadOptions(use_threads=False))
                yield reader.schema, (batch.select(wanted) for batch in reader)
                return
            names = ipc.open_file(source).schema.names
            places = None if wanted is None else sorted(map(names.index, wanted))
            reader = ipc.open_file(
                source, options=ipc.IpcReadOptions(included_fields=places, use_threads=False)
            )
            yield (
                reader.schema,
                (reader.get_batch(n).select(wanted) for n in range(reader.num_record_batches)),
            )

    def batches(wanted: list[str]) -> Iterator[Any]:
        with opened(wanted) as (_, found):
            for batch in found:
                for start in range(0, batch.num_rows, _PARQUET_ROWS):
                    yield batch.slice(start, _PARQUET_ROWS)

    with opened(None) as (schema, _):
        names: list[str] = schema.names
    return TableFile(table.name, names, batches, "Arrow", class_names=class_names(schema))
