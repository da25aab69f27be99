"""records.parquet of a dataset, read in constant memory."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reader.files.shard import ShardFile
from shardio.errors import MissingExtraError, MissingFileError
from shardio.format.layout import ROW
from shardio.format.manifest import Manifest
from shardio.format.naming import RECORDS, ShardName
from shardio.format.table_columns import label_columns
from shardio.storage import storage_for
from shardio.storage.paths import folder_of, join, name_of
from shardio.storage.ranges_stream import RangesFile
from shardio.storage.whole_file import digest_of

_LOG = logging.getLogger("shardio")


def column_of_table(
    manifest: Manifest | None, shards: Sequence[ShardFile], name: str, array: NDArray[Any]
) -> bool:
    """Fill `array` with a column for the records of some shards; returns whether it could be done.

    Not without pyarrow, nor where the table is missing or is not the one of the set.
    """
    path = _path(manifest, shards)
    if manifest is None or path is None or not has_pyarrow():
        return False
    columns = label_columns([label.name for label in manifest.labels])
    title = name if name == ROW else columns[name]
    with opened(path) as table:
        if table.metadata.num_rows != manifest.rows_written:
            return False
        if title not in table.schema_arrow.names:
            return False
        for group, parts in _groups(manifest, shards, table):
            read = table.read_row_group(group, columns=[title], use_threads=False)
            values = _plain(read.column(0).combine_chunks(), array)
            for here, there, size in parts:
                array[there : there + size] = values[here : here + size]
    return True


def paths_of(
    manifest: Manifest | None, shards: Sequence[ShardFile], ids: NDArray[np.int64]
) -> list[str | None] | None:
    """Return the paths of records of some shards; None where the table is not there or known."""
    path = _path(manifest, shards)
    if manifest is None or path is None or not has_pyarrow():
        return None
    paths: list[str | None] = [None] * len(ids)
    with opened(path) as table:
        for group, parts in _groups(manifest, shards, table):
            for here, there, size in parts:
                wanted = np.flatnonzero((ids >= there) & (ids < there + size))
                if len(wanted):
                    read = table.read_row_group(group, columns=["path"], use_threads=False)
                    column = read.column(0)
                    found = column.take(ids[wanted] - there + here).to_pylist()
                    for number, text in zip(wanted.tolist(), found, strict=True):
                        paths[number] = text
    return paths


def table_of(manifest: Manifest | None, shards: Sequence[ShardFile]) -> Any:
    """Return the rows of some shards as a pyarrow.Table, or None where there are none.

    Raises MissingExtraError without pyarrow.
    """
    require_pyarrow()
    path = _path(manifest, shards)
    if manifest is None or path is None:
        return None
    import pyarrow as pa

    pieces: list[tuple[int, Any]] = []
    with opened(path) as table:
        schema = table.schema_arrow
        for group, parts in _groups(manifest, shards, table):
            rows = table.read_row_group(group, use_threads=False)
            pieces += [(there, rows.slice(here, size)) for here, there, size in parts]
    in_order = [rows for _, rows in sorted(pieces, key=lambda piece: piece[0])]
    return pa.concat_tables(in_order) if in_order else schema.empty_table()


def table_of_columns(
    shards: Sequence[ShardFile], rows: NDArray[Any], columns: Mapping[str, NDArray[Any]]
) -> Any:
    """Return the same table made of the columns of all records; paths are null.

    Raises MissingExtraError without pyarrow.
    """
    require_pyarrow()
    import pyarrow as pa

    counts = [shard.records for shard in shards]
    files = [name_of(shard.path) for shard in shards]
    names = [ShardName.parse(file) for file in files]
    splits = ["" if name is None else name.split for name in names]
    numbers = [np.arange(count) for count in counts] or [np.arange(0)]
    data = {
        "split": np.repeat(np.array(splits, dtype=object), counts),
        "shard": np.repeat(np.array(files, dtype=object), counts),
        "number": np.concatenate(numbers),
        "row": np.asarray(rows),
        "path": pa.nulls(len(rows), pa.string()),
    }
    for name, title in label_columns(list(columns)).items():
        values = columns[name]
        if values.ndim > 1:
            flat = pa.array(np.asarray(values).reshape(-1))
            ends = np.arange(0, values.size + 1, values.shape[1], dtype=np.int64)
            data[title] = pa.LargeListArray.from_arrays(ends, flat)
        else:
            data[title] = np.asarray(values)
    return pa.table(data)


def has_pyarrow() -> bool:
    """Whether pyarrow can be imported."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError:
        return False
    return True


def require_pyarrow() -> None:
    """Raise MissingExtraError without pyarrow."""
    if not has_pyarrow():
        raise MissingExtraError(
            "a table of records needs pyarrow: it comes with shardio's extra [table]"
        )


def _path(manifest: Manifest | None, shards: Sequence[ShardFile]) -> str | None:
    """Return where the table of the set lies; None where it is not there, or another one."""
    if manifest is None or manifest.records is None:
        return None
    for folder in sorted({folder_of(shard.path) for shard in shards}):
        path = join(folder, RECORDS)
        try:
            digest = digest_of(path)
        except MissingFileError:
            continue
        if digest == manifest.records:
            return path
        _LOG.warning("%s is not the one that dataset.json names: the shards are read instead", path)
    return None


@contextmanager
def opened(path: str) -> Iterator[Any]:
    """Open a table on any storage as a pyarrow.parquet.ParquetFile."""
    from pyarrow import parquet

    storage = storage_for(path)
    size = storage.stat(path).size
    with (
        closing(RangesFile(storage.open_ranges(path), size)) as file,
        parquet.ParquetFile(file, pre_buffer=False) as table,
    ):
        yield table


def _groups(
    manifest: Manifest, shards: Sequence[ShardFile], table: Any
) -> Iterator[tuple[int, list[tuple[int, int, int]]]]:
    """Yield each group of rows that has some of the shards' records, and `_parts` of it."""
    at = 0
    for group in range(table.num_row_groups):
        count = table.metadata.row_group(group).num_rows
        parts = list(_parts(manifest, shards, at, count))
        if parts:
            yield group, parts
        at += count


def _parts(
    manifest: Manifest, shards: Sequence[ShardFile], first: int, count: int
) -> Iterator[tuple[int, int, int]]:
    """Yield where records of `shards` stand in the rows `first` to `first + count` of the table.

    That is the place in the rows, the number among the records of `shards`, and how many.
    """
    begins, at = {}, 0
    for entry in manifest.shards:
        begins[entry.file] = at
        at += entry.records
    there = 0
    for shard in shards:
        begin = begins[name_of(shard.path)]
        low, high = max(first, begin), min(first + count, begin + shard.records)
        if low < high:
            yield low - first, there + low - begin, high - low
        there += shard.records


def _plain(column: Any, array: NDArray[Any]) -> NDArray[Any]:
    """Return the values of a column, those of lists in a second dimension."""
    values = column.flatten() if array.ndim > 1 else column
    found: NDArray[Any] = values.to_numpy(zero_copy_only=False)
    return found.reshape(-1, *array.shape[1:])
