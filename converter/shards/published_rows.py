"""The rows of shards in files of the output folder, from which machines of a cluster take them.

A file holds pieces, one after the other. Each is an Arrow stream with rows of one shard; what makes
the shard knows in which file its pieces are, and at which byte.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from converter.shards.shard import ShardJob
from converter.sources.patience import writing
from converter.table.image_column import COPIED
from converter.table.samples.places import PACKED, Place
from shardio.errors import MissingFileError, StorageError
from shardio.format.naming import ROWS_FOLDER, ShardName
from shardio.storage import storage_for
from shardio.storage.paths import join, scheme_of

# A file is kept in memory until it is written, and larger only where a single row is.
FILE_BYTES = 16 << 20
# Rows of a piece.
SLICE = 1 << 14


@dataclass(frozen=True)
class Piece:
    """Some rows of a shard: `size` bytes of a file."""

    file: str
    offset: int
    size: int


@dataclass(frozen=True)
class PublishedJobs:
    """Jobs whose rows any machine can read: what they have in common, and the pieces of each."""

    common: ShardJob
    pieces: Mapping[ShardName, tuple[Piece, ...]]

    def job(self, name: ShardName) -> ShardJob:
        """Read the rows of a job."""
        return read_job(self.common, name, self.pieces[name])


def publish_rows(
    out: str,
    common: ShardJob,
    names: Sequence[ShardName],
    slices: Callable[[ShardName], Iterable[ShardJob]],
    *,
    file_bytes: int = FILE_BYTES,
) -> tuple[str, PublishedJobs]:
    """Publish the rows of shards; returns the folder of this run, and the jobs.

    `common` is a job without rows; `slices` gives the rows of a shard, some at a time. Places that
    are relative become absolute: other machines work in other folders.
    """
    folder = join(_absolute(out), ROWS_FOLDER, secrets.token_hex(6))
    pieces: dict[ShardName, tuple[Piece, ...]] = dict.fromkeys(names, ())
    found = chain.from_iterable(map(_pieces, map(_anywhere, slices(name))) for name in names)
    files = _files(chain.from_iterable(found), file_bytes)
    for number, parts in enumerate(files):
        file = f"{folder}/{number:05d}.arrows"
        _write(file, b"".join(data for _, data in parts))
        offset = 0
        for name, data in parts:
            pieces[name] += (Piece(file, offset, len(data)),)
            offset += len(data)
    return folder, PublishedJobs(_anywhere(replace(common, folder=_absolute(out))), pieces)


def read_job(common: ShardJob, name: ShardName, pieces: Sequence[Piece]) -> ShardJob:
    """Return the job of a shard, with the rows of its pieces.

    Raises StorageError where they cannot be read, or are others.
    """
    tables = [_table(_read(piece), name, piece) for piece in pieces]
    wide = common.labels.shape[1]
    labels = [_numbers(table, "labels", wide, common.labels.dtype) for table in tables]
    boxes = None if common.boxes is None else [_numbers(t, "boxes", 4, np.int32) for t in tables]
    return replace(
        common,
        name=name,
        rows=np.concatenate([table["row"].to_numpy() for table in tables]),
        labels=np.concatenate(labels),
        paths=[path for table in tables for path in table["path"].to_pylist()],
        locations=[place for table in tables for place in table["location"].to_pylist()],
        boxes=None if boxes is None else np.concatenate(boxes),
    )


def _files(
    pieces: Iterator[tuple[ShardName, bytes]], limit: int
) -> Iterator[list[tuple[ShardName, bytes]]]:
    """Put pieces into files of at most `limit` bytes, in their order."""
    parts: list[tuple[ShardName, bytes]] = []
    size = 0
    for name, data in pieces:
        if parts and size + len(data) > limit:
            yield parts
            parts, size = [], 0
        parts.append((name, data))
        size += len(data)
    if parts:
        yield parts


def _pieces(job: ShardJob) -> Iterator[tuple[ShardName, bytes]]:
    """Yield the rows of a job in pieces, each of which fits into a file."""
    import pyarrow as pa

    columns = {
        "row": pa.array(job.rows),
        "path": pa.array(job.paths, pa.large_string()),
        "location": pa.array(job.locations, pa.large_string()),
    }
    for name, numbers in (("labels", job.labels), ("boxes", job.boxes)):
        if numbers is not None and numbers.shape[1]:
            flat = pa.array(np.ascontiguousarray(numbers).ravel())
            columns[name] = pa.FixedSizeListArray.from_arrays(flat, numbers.shape[1])
    table = pa.table(columns).replace_schema_metadata({"shard": str(job.name)})
    parts = -(-table.nbytes // FILE_BYTES) or 1
    rows = max(1, len(table) // parts)
    for start in range(0, len(table), rows):
        sink = pa.BufferOutputStream()
        options = pa.ipc.IpcWriteOptions(compression="zstd")
        with pa.ipc.new_stream(sink, table.schema, options=options) as stream:
            stream.write_table(table.slice(start, rows))
        yield job.name, sink.getvalue().to_pybytes()


def _table(data: memoryview, name: ShardName, piece: Piece) -> Any:
    import pyarrow as pa

    try:
        table = pa.ipc.open_stream(data).read_all()
    except (pa.ArrowException, OSError) as error:
        raise StorageError(f"{piece.file}, byte {piece.offset}: damaged: {error}") from error
    shard = (table.schema.metadata or {}).get(b"shard", b"").decode()
    if shard != str(name):
        raise StorageError(f"{piece.file}, byte {piece.offset}: rows of {shard}, not of {name}")
    return table


def _numbers(table: Any, name: str, width: int, dtype: DTypeLike) -> NDArray[Any]:
    if not width:
        return np.empty((len(table), 0), dtype)
    flat: NDArray[Any] = table[name].combine_chunks().flatten().to_numpy()
    return flat.reshape(-1, width).astype(dtype, copy=False)


def _read(piece: Piece) -> memoryview:
    """Read a piece."""
    data = memoryview(bytearray(piece.size))
    try:
        reader = storage_for(piece.file).open_ranges(piece.file)
    except MissingFileError as error:
        raise RowsGoneError(f"{piece.file} is not there") from error
    try:
        count = reader.read_into(piece.offset, data)
    finally:
        reader.close()
    if count != len(data):
        raise StorageError(f"{piece.file}: is cut at byte {piece.offset + count}")
    return data


class RowsGoneError(StorageError):
    """The rows are not there: the run has ended, or this machine does not see the folder."""


def _write(path: str, data: bytes) -> None:
    def publish() -> None:
        with storage_for(path).publish(path, attempt=secrets.token_hex(6)) as file:
            file.write(data)

    writing(publish)


def _anywhere(job: ShardJob) -> ShardJob:
    """Return a job with the places of its images as any process finds them."""
    finder = job.finder
    if finder is not None:
        folder = None if finder.folder is None else _absolute(finder.folder)
        finder = replace(finder, root=_absolute(finder.root), folder=folder)
    return replace(job, locations=list(map(_absolute, job.locations)), finder=finder)


def _absolute(location: str) -> str:
    """Return a place that does not depend on the current folder."""
    if location.startswith(PACKED):
        place = Place.parse(location)
        return str(replace(place, file=_absolute(place.file)))
    if location.startswith((COPIED, "/")) or scheme_of(location):
        return location
    # Not normalised: what `..` means behind a link only the file system knows.
    return join(os.getcwd(), location) if location else os.getcwd()
