"""Labels and rows of all records of opened shards, as arrays by head that are kept.

They come from records.parquet, where it is that of the set and pyarrow is there, or from one pass
over the shards. Each is kept as `kept_array.py` says: 4 bytes a record for a label, 4 for each
value of a vector, 8 for the rows.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reader.files.shard import ShardFile
from reader.sets.kept_array import KeptArray, keep_array
from reader.sets.records_table import column_of_table
from shardio.errors import DatasetError, MissingFileError
from shardio.format.label import Label, columns_of, floats_of
from shardio.format.layout import ROW
from shardio.format.manifest import Manifest
from shardio.storage.paths import folder_of

Ids = NDArray[np.int64]

_LOG = logging.getLogger("shardio")
# Records that a pass reads at once, and the seconds after which it is said.
_PASS = 1024
_SAID_SECONDS = 5.0
# Small columns are not kept on disk: so many of the last ones are known.
_KNOWN = 32


@dataclass(frozen=True)
class Records:
    """The records of which there are columns: of `shards`, all of them, in their order.

    `fingerprint` names them. Those of a join are those of its `members`, one after the other.
    `read` returns the numbers of some, and raises for one that is damaged or has a wrong label.
    """

    fingerprint: str
    shards: Sequence[ShardFile]
    labels: Sequence[Label]
    manifest: Manifest | None
    members: Sequence[Records]
    read: Callable[[Ids], NDArray[np.int64]]

    @property
    def count(self) -> int:
        """How many records there are."""
        return sum(shard.records for shard in self.shards)


_known: OrderedDict[tuple[str, str], KeptArray] = OrderedDict()
_turn = Lock()


def column(records: Records, name: str) -> NDArray[Any]:
    """Return the values of a label, or the rows (`row`), of all records.

    Labels of one integer are int32 (records,), floats float32, vectors (records, length); rows are
    int64. Raises StorageError where the cache folder takes no file.
    """
    with _turn:
        return _column(records, name)


def _column(records: Records, name: str) -> NDArray[Any]:
    kept = _known.get((records.fingerprint, name))
    if kept is not None:
        with suppress(MissingFileError, DatasetError):  # removed or damaged since: made again
            return kept.array
    kept = _made(records, name)
    _known[records.fingerprint, name] = kept
    if len(_known) > _KNOWN:
        _known.popitem(last=False)
    return kept.array


def _made(records: Records, name: str) -> KeptArray:
    shape, dtype = _form(records, name)
    made_of = f"column {records.fingerprint} {name}"

    def fill(array: NDArray[Any]) -> None:
        begin = 0
        for member in records.members:
            array[begin : begin + member.count] = _column(member, name)
            begin += member.count
        if not records.members and not column_of_table(
            records.manifest, records.shards, name, array
        ):
            _fill_all(records, name, array)

    return keep_array(made_of, shape, dtype, fill)


def _form(records: Records, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    if name == ROW:
        return (records.count,), np.dtype(np.int64)
    kind = next(label.kind for label in records.labels if label.name == name)
    shape = (records.count, kind.length) if kind.length > 1 else (records.count,)
    return shape, np.dtype(np.float32 if kind.is_float else np.int32)


def _fill_all(records: Records, name: str, array: NDArray[Any]) -> None:
    """Fill a column and, since it takes a pass over the shards, those of all other heads."""
    arrays = {name: array}
    names = [ROW, *(label.name for label in records.labels)]

    def others(left: list[str]) -> None:
        if not left:
            _read_all(records, arrays)
            return
        shape, dtype = _form(records, left[0])

        def fill(other: NDArray[Any]) -> None:
            arrays[left[0]] = other
            others(left[1:])

        kept = keep_array(f"column {records.fingerprint} {left[0]}", shape, dtype, fill)
        if left[0] not in arrays:  # it was there
            others(left[1:])
        _known[records.fingerprint, left[0]] = kept

    others([other for other in names if other != name])


def _read_all(records: Records, arrays: dict[str, NDArray[Any]]) -> None:
    kinds = [label.kind for label in records.labels]
    places = {
        label.name: (columns, label.kind)
        for label, columns in zip(records.labels, columns_of(kinds), strict=True)
    }
    start, said = time.monotonic(), False
    for first in range(0, records.count, _PASS):
        ids = np.arange(first, min(first + _PASS, records.count))
        numbers = records.read(ids)
        for name, array in arrays.items():
            if name == ROW:
                array[ids] = numbers[:, -1]
                continue
            columns, kind = places[name]
            values = numbers[:, columns]
            found = floats_of(values) if kind.is_float else values
            array[ids] = found if kind.length > 1 else found[:, 0]
        if not said and time.monotonic() - start > _SAID_SECONDS:
            said = True
            _LOG.warning(
                "reading the labels of all %s records of %s, once: they are kept",
                f"{records.count:,}",
                folder_of(records.shards[0].path),
            )
