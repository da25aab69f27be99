"""Images that are a column of the table: Parquet with their files' bytes in it.

Shards take rows in random order, and Parquet gives one row at the price of many. So the column is
copied once, in the order of the rows, to a file without a name, and workers read their images from
it by place and size. They open it through this process, whose end is also the end of the file.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from converter.table.files import parquet_file
from converter.table.inputs import TableInput, name_of_all
from converter.table.paths.kinds import Kind
from converter.table.scratch import Scratch
from shardio.errors import ShardioError, StorageError, TableError, UnusableFileError
from shardio.storage import storage_for

COPIED = "copied://"
_LOCATION = re.compile(rf"{COPIED}(\d+)\+(\d+)(/.*)")
# Of as many rows are images read together as have so many bytes on average. Images that are there
# many times are larger in memory than in the file, so there are not too many rows.
_BATCH_BYTES = 4 << 20
_BATCH_ROWS = 256


class ImageSource(Protocol):
    """Images that are read one after the other; `bytes` is the size of all of them, about."""

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def column(self) -> str: ...  # noqa: D102

    @property
    def bytes(self) -> int: ...  # noqa: D102

    def batches(self) -> Iterator[Any]:
        """Yield the images as Arrow arrays of bytes; one that is not there is empty."""


@dataclass(frozen=True)
class ImageColumn:
    """The column of images in the Parquet files `tables`; messages call all of them `name`."""

    name: str
    tables: tuple[str, ...]
    column: str
    # What of it holds the bytes, as Parquet names it, in each file.
    leaves: tuple[str, ...]
    # The size of all images, about.
    bytes: int
    rows: int

    @classmethod
    def find(cls, inputs: Sequence[TableInput], column: str) -> ImageColumn:
        """Look at the column in the files of a table; TableError where one holds no images."""
        leaves = []
        size = rows = 0
        for file in inputs:
            if file.kind is not Kind.PARQUET or file.location != file.name:
                raise TableError(f"{file.name}: images in a column need a .parquet table")
            leaf, own, count = _look_at(file.name, column)
            leaves.append(leaf)
            size += own
            rows += count
        names = tuple(file.name for file in inputs)
        return cls(name_of_all(inputs), names, column, tuple(leaves), size, rows)

    def batches(self) -> Iterator[Any]:
        """Yield the images as Arrow arrays of bytes; one that is not there is empty."""
        mean = self.bytes // max(1, self.rows) + 1
        rows = max(1, min(_BATCH_ROWS, _BATCH_BYTES // mean))
        for table, leaf in zip(self.tables, self.leaves, strict=True):
            yield from _images_of(table, leaf, rows)


def _look_at(table: str, column: str) -> tuple[str, int, int]:
    """Return what of a column holds the bytes of images, about how many these are, and the rows."""
    with storage_for(table).open_stream(table) as stream:
        file = parquet_file(stream)
        schema, data = file.schema_arrow, file.metadata
    if schema.names.count(column) != 1:
        raise TableError(
            f"{table} must have one column {column}; it has {', '.join(schema.names) or 'none'}"
        )
    leaf = column + _place_of_bytes(table, column, schema.field(column).type)
    size = 0
    for group in map(data.row_group, range(data.num_row_groups)):
        for part in map(group.column, range(group.num_columns)):
            if part.path_in_schema == leaf:
                size += part.total_uncompressed_size
    return leaf, size, data.num_rows


def _images_of(table: str, leaf: str, rows: int) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.compute as pc

    with storage_for(table).open_stream(table) as stream:
        for batch in parquet_file(stream).iter_batches(rows, columns=[leaf], use_threads=False):
            images = batch.column(0)
            if pa.types.is_struct(images.type):
                images = pc.struct_field(images, "bytes")
            yield pc.cast(images, pa.large_binary()).fill_null(b"")


def _place_of_bytes(table: str, column: str, kind: Any) -> str:
    import pyarrow as pa

    def is_bytes(kind: Any) -> bool:
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))

    if is_bytes(kind):
        return ""
    if pa.types.is_struct(kind) and any(f.name == "bytes" and is_bytes(f.type) for f in kind):
        return ".bytes"
    raise TableError(
        f"column {column} of {table} holds {kind}; images are binary, or a struct with the field "
        "`bytes`, as Hugging Face datasets write them"
    )


class ImageCopy:
    """The images of the rows that are `wanted`, on disk for the time of a `with`."""

    def __init__(self, images: ImageSource, wanted: NDArray[np.bool_], folder: str | None) -> None:
        self._images = images
        self._wanted = wanted
        self._scratch = Scratch(folder)

    def __enter__(self) -> ImageCopy:
        try:
            self._check_space()
            self._copy()
        except BaseException:
            self._scratch.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self._scratch.__exit__()

    def locations(self, rows: NDArray[np.int64]) -> list[str]:
        """Return where the images of rows are, for any process of this machine."""
        starts, ends = self._offsets[rows].tolist(), self._offsets[rows + 1].tolist()
        return [f"{COPIED}{a}+{b - a}{self._path}" for a, b in zip(starts, ends, strict=True)]

    def _check_space(self) -> None:
        need = int(self._images.bytes * np.count_nonzero(self._wanted) / max(1, len(self._wanted)))
        with self._scratch.reporting():
            free = shutil.disk_usage(self._scratch.folder).free
        if need > free:
            raise StorageError(
                f"{self._scratch.folder}: the images of {self._images.name} are copied to this "
                f"disk for the time of the run, some {need / 1e9:,.1f} GB; {free / 1e9:,.1f} GB "
                "are free"
            )

    def _copy(self) -> None:
        copy = self._scratch.texts()
        for images in wanted_images(self._images, self._wanted):
            copy.append(images)
        self._offsets = copy.offsets()
        self._path = f"/proc/{os.getpid()}/fd/{copy.descriptor()}"


def wanted_images(images: ImageSource, wanted: NDArray[np.bool_]) -> Iterator[Any]:
    """Yield images as Arrow arrays of bytes; those that are not `wanted` are empty."""
    import pyarrow as pa
    import pyarrow.compute as pc

    row = 0
    try:
        for batch in images.batches():
            taken = wanted[row : row + len(batch)]
            row += len(batch)
            yield (
                batch
                if taken.all()
                else pc.if_else(pa.array(taken), batch, pa.scalar(b"", batch.type))
            )
    except ShardioError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        raise TableError(
            f"column {images.column} of {images.name} cannot be read: {error}"
        ) from error


def read_copied(location: str, max_bytes: int) -> bytes:
    """Read an image of at most `max_bytes` from the copy of a column."""
    match = _LOCATION.fullmatch(location)
    if match is None:
        raise UnusableFileError(f"{location}: not a place in a copied column")
    start, size = int(match[1]), int(match[2])
    if size == 0:
        raise UnusableFileError(f"{location}: the table has no image here")
    if size > max_bytes:
        raise UnusableFileError(f"{location}: the image is larger than {max_bytes:,} bytes")
    # Whatever fails here is no fault of the image.
    try:
        with open(match[3], "rb", buffering=0) as file:
            file.seek(start)
            data = file.read(size)
            while len(data) < size and (more := file.read(size - len(data))):
                data += more
    except OSError as error:
        raise StorageError(f"the copy of the images cannot be read: {error}") from error
    if len(data) != size:
        raise StorageError("the copy of the images is cut")
    return data
