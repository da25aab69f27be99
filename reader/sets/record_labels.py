"""The labels of a head of all records, from records.parquet: a row group at a time."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from shardio.errors import StorageError
from shardio.storage import storage_for
from shardio.storage.chooser import local_path

# Columns that are no labels; a label of such a name has another one there.
_OTHERS = ("split", "shard", "number", "row", "path")
_PIECE = 1 << 22


class RecordLabels:
    """The table of the records of a dataset, `path`; its SHA-256 is `sha256`."""

    def __init__(self, path: str, sha256: str) -> None:
        self._path = path
        self._sha256 = sha256

    def read(self, head: str, places: Sequence[tuple[int, int]], labels: NDArray[np.int32]) -> bool:
        """Fill `labels` with those of the records in `places`, (first, count) each, one by one.

        Returns False where the table is not there, is not that of the dataset, or pyarrow is not
        installed.
        """
        try:
            from pyarrow import parquet
        except ImportError:
            return False
        name = f"label.{head}" if head in _OTHERS else head
        with tempfile.TemporaryFile() as copy:
            file = self._opened(copy)
            if file is None:
                return False
            table = parquet.ParquetFile(file)
            groups = [table.metadata.row_group(n).num_rows for n in range(table.num_row_groups)]
            ends = np.cumsum(groups)
            at, held = 0, -1
            for first, count in places:
                place, stop = first, first + count
                while place < stop:
                    group = int(np.searchsorted(ends, place, side="right"))
                    begin = int(ends[group]) - groups[group]
                    part = min(stop, int(ends[group])) - place
                    if group != held:  # neighbours share one
                        column, held = self._column(table, group, name), group
                    labels[at : at + part] = column[place - begin : place - begin + part]
                    at, place = at + part, place + part
        return True

    def _column(self, table: Any, group: int, name: str) -> NDArray[Any]:
        column: NDArray[Any] = table.read_row_group(group, columns=[name]).column(0).to_numpy()
        return column

    def _opened(self, copy: IO[bytes]) -> Any:
        """Return what pyarrow opens, where its bytes are right: from a server a copy."""
        local = local_path(self._path)
        digest = hashlib.sha256()
        try:
            with storage_for(self._path).open_stream(self._path) as stream:
                while piece := stream.read(_PIECE):
                    digest.update(piece)
                    if local is None:
                        copy.write(piece)
        except StorageError:
            return None
        copy.seek(0)
        if digest.hexdigest() != self._sha256:
            return None
        return copy if local is None else local
