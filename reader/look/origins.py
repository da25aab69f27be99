"""Where records came from: paths and rows of the input table, as records.parquet has them.

It is read where it lies on this machine and pyarrow is installed; without it nothing is known.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reader.shardset import ShardSet
from shardio.format.naming import RECORDS
from shardio.storage.chooser import local_path
from shardio.storage.paths import folder_of, join, name_of
from shardio.storage.whole_file import digest_of


class Origins:
    """The paths and rows of the records of a set, where they are known."""

    def __init__(self, shards: ShardSet) -> None:
        self._shards = shards
        self._file = _open(shards)

    def paths(self, ids: NDArray[np.int64]) -> dict[int, str]:
        """Return the paths of records, by their number in the set; those that have one."""
        if self._file is None or not len(ids):
            return {}
        places = self._places(ids)
        found: dict[int, str] = {}
        start = 0
        for group in range(self._file.num_row_groups):
            count = self._file.metadata.row_group(group).num_rows
            here = np.flatnonzero((places >= start) & (places < start + count))
            if len(here):
                column = self._file.read_row_group(group, columns=["path"]).column("path")
                texts = column.take(places[here] - start).to_pylist()
                pairs = zip(ids[here].tolist(), texts, strict=True)
                found.update((number, text) for number, text in pairs if text is not None)
            start += count
        return found

    def records_with(self, text: str) -> NDArray[np.int64]:
        """Return the records whose paths have a text in them, whatever its case."""
        if self._file is None:
            return np.empty(0, dtype=np.int64)
        import pyarrow.compute as pc

        found, start = [], 0
        for group in range(self._file.num_row_groups):
            column = self._file.read_row_group(group, columns=["path"]).column("path")
            fits = pc.match_substring(column, text, ignore_case=True).fill_null(False)
            found.append(np.flatnonzero(fits.to_numpy()) + start)
            start += len(column)
        return self._numbers().numbers(np.concatenate([*found, np.empty(0, np.int64)]))

    def records_of(self, rows: Sequence[int]) -> list[int | None] | None:
        """Return the record of each row of the table, None for one without; None if not known."""
        if self._file is None:
            return None
        found: dict[int, int] = {}
        numbers = self._numbers()
        start = 0
        for group in range(self._file.num_row_groups):
            column = self._file.read_row_group(group, columns=["row"]).column("row").to_numpy()
            for at in np.flatnonzero(np.isin(column, rows)).tolist():
                number = numbers.number(start + at)
                if number is not None:
                    found[int(column[at])] = number
            start += len(column)
        return [found.get(row) for row in rows]

    def _numbers(self) -> _Numbers:
        return _Numbers(self._shards)

    def _places(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        return self._numbers().places(ids)


class _Numbers:
    """Numbers of records in a set, which may lack some shards, and places in records.parquet."""

    def __init__(self, shards: ShardSet) -> None:
        assert shards.manifest is not None
        starts, total = {}, 0
        for entry in shards.manifest.shards:
            starts[entry.file] = total
            total += entry.records
        counts = np.array([shard.records for shard in shards.shards], dtype=np.int64)
        self._ends = np.cumsum(counts)
        self._first = self._ends - counts
        self._places = np.array([starts[name_of(shard.path)] for shard in shards.shards])

    def places(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the places of records."""
        shard = np.searchsorted(self._ends, ids, side="right")
        return np.asarray(ids - self._first[shard] + self._places[shard])

    def numbers(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the records at places; those whose shards are not in the set are left out."""
        order = np.argsort(self._places, kind="stable")
        begins, counts = self._places[order], (self._ends - self._first)[order]
        shard = np.searchsorted(begins, places, side="right") - 1
        inside = (shard >= 0) & (places < begins[shard] + counts[shard])
        shard, places = shard[inside], places[inside]
        return np.asarray(places - begins[shard] + self._first[order][shard])

    def number(self, place: int) -> int | None:
        """Return the record at a place; None where its shard is not in the set."""
        counts = self._ends - self._first
        inside = np.flatnonzero((self._places <= place) & (place < self._places + counts))
        return (
            int(place - self._places[inside[0]] + self._first[inside[0]]) if len(inside) else None
        )


def _open(shards: ShardSet) -> Any:
    """Open records.parquet; None where it is not there or not of this set."""
    if shards.manifest is None or shards.manifest.records is None or not shards.shards:
        return None
    path = join(folder_of(shards.shards[0].path), RECORDS)
    file = local_path(path)
    if file is None or not os.path.isfile(file):
        return None
    try:
        from pyarrow import parquet
    except ImportError:
        return None
    # That of another conversion would name other images.
    if digest_of(file) != shards.manifest.records:
        return None
    opened = parquet.ParquetFile(file)
    fits = opened.metadata.num_rows == shards.manifest.rows_written
    names = opened.schema_arrow.names
    return opened if fits and "path" in names and "row" in names else None
