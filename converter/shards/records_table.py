"""records.parquet: every record of a dataset, and which row and which file it came from.

| column         | holds                                                                    |
|----------------|--------------------------------------------------------------------------|
| `split`        | the split of the record                                                  |
| `shard`        | the file name of its shard                                               |
| `number`       | its number in the shard, from 0                                          |
| `row`          | the row of the input table                                               |
| `path`         | the path as the table has it, null where the table has none              |
| each label     | int32 or float32, or a list of them; as it is stored in the record       |

Records come in the order of the shards. A label with the name of another column becomes
`label.NAME`. At most a row group is in memory at a time.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from converter.shards.plan import ShardPlan
from converter.sources.patience import writing
from converter.table.table import Table
from shardio.errors import FormatError
from shardio.format.done import DoneRecord
from shardio.format.label import Label, columns_of, floats_of
from shardio.format.naming import RECORDS, ShardName
from shardio.format.table_columns import label_columns
from shardio.storage import storage_for
from shardio.storage.paths import join

ROW_GROUP = 65_536
_CODEC = "zstd"


def write_records_table(
    folder: str,
    table: Table,
    labels: Sequence[Label],
    shards: ShardPlan,
    finished: Mapping[ShardName, DoneRecord],
) -> str:
    """Publish the table of the records of all shards; returns the SHA-256 of its file.

    Raises FormatError where a done-record does not hold the rows that were planned.
    """
    import pyarrow as pa
    from pyarrow import parquet

    schema = pa.schema(
        [
            *(("split", pa.string()), ("shard", pa.string()), ("number", pa.int64())),
            *(("row", pa.int64()), ("path", pa.string())),
            *zip(
                label_columns([label.name for label in labels]).values(),
                map(_type, labels),
                strict=True,
            ),
        ]
    )

    def publish() -> str:
        path, attempt = join(folder, RECORDS), secrets.token_hex(6)
        with storage_for(folder).publish(path, attempt=attempt) as file:
            digested = _Digested(file)
            with parquet.ParquetWriter(
                pa.PythonFile(digested, mode="w"),
                schema,
                compression=_CODEC,
                use_dictionary=["split", "shard"],
            ) as writer:
                for group in _groups(shards, finished):
                    writer.write_table(_rows(group, table, labels, schema), ROW_GROUP)
            return digested.digest.hexdigest()

    return writing(publish)


class _Digested:
    """A file that is written from its start to its end, and the digest of what was written."""

    closed = False

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._size = 0
        self.digest = hashlib.sha256()

    def write(self, data: Any) -> int:
        """Write what Arrow gives, as the bytes that every storage takes."""
        plain = bytes(memoryview(data))
        self.digest.update(plain)
        self._file.write(plain)
        self._size += len(plain)
        return len(plain)

    def tell(self) -> int:
        """Return how many bytes were written."""
        return self._size

    def flush(self) -> None:
        """Do nothing: whoever publishes the file does it."""

    def close(self) -> None:
        """Do nothing: whoever publishes the file does it."""


# Neighbouring records of a shard: the number of the first one, and the rows of all.
_Part = tuple[ShardName, int, NDArray[np.int64]]


def _groups(shards: ShardPlan, finished: Mapping[ShardName, DoneRecord]) -> Iterator[list[_Part]]:
    """Yield the records of each row group."""
    group: list[_Part] = []
    room = ROW_GROUP
    for name in shards.names():
        rows, done = shards.rows_of(name), finished[name]
        if done.rejects:
            rows = rows[~np.isin(rows, [reject.row for reject in done.rejects])]
        if len(rows) != done.records:
            raise FormatError(
                f"{name} holds {done.records} records, but {len(rows)} rows were not rejected; "
                "start again with --overwrite"
            )
        start = 0
        while start < len(rows):
            part = rows[start : start + room]
            group.append((name, start, part))
            start, room = start + len(part), room - len(part)
            if not room:
                yield group
                group, room = [], ROW_GROUP
    if group:
        yield group


def _rows(group: list[_Part], table: Table, labels: Sequence[Label], schema: Any) -> Any:
    """Return a row group as an Arrow table."""
    import pyarrow as pa

    rows = np.concatenate([part for _, _, part in group])
    counts = [len(part) for _, _, part in group]
    of_part = _arrow(np.repeat(np.arange(len(group)), counts))
    numbers = np.concatenate([np.arange(at, at + len(part)) for _, at, part in group])
    paths = table.paths(rows) if table.has_paths else [None] * len(rows)
    columns = [
        pa.array([name.split for name, _, _ in group]).take(of_part),
        pa.array([str(name) for name, _, _ in group]).take(of_part),
        _arrow(numbers),
        _arrow(rows),
        pa.array(paths, pa.string()),
    ]
    values = table.labels[rows]
    for label, of_label in zip(labels, columns_of([x.kind for x in labels]), strict=True):
        flat = np.ascontiguousarray(values[:, of_label]).reshape(-1)
        stored = _arrow(floats_of(flat) if label.kind.is_float else flat.astype(np.int32))
        if label.kind.length > 1:
            ends = np.arange(len(rows) + 1, dtype=np.int32) * label.kind.length
            stored = pa.ListArray.from_arrays(_arrow(ends), stored)
        columns.append(stored)
    return pa.Table.from_arrays(columns, schema=schema)


def _arrow(values: NDArray[Any]) -> Any:
    """Return numbers as an Arrow array; `pa.array` would import numpy.ma for them."""
    import pyarrow as pa

    memory = pa.py_buffer(np.ascontiguousarray(values))
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, memory])


def _type(label: Label) -> Any:
    import pyarrow as pa

    value = pa.float32() if label.kind.is_float else pa.int32()
    return value if label.kind.length == 1 else pa.list_(value)
