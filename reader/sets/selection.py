"""The records of a set by what is known of them: their labels, splits and rows."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reader.files.shard import ShardFile
from reader.sets.choice import PIECE, Choice, Ids, listed, number_of, whole
from reader.sets.conditions import (
    Condition,
    LabelsByHead,
    Mask,
    checked_mask,
    no_label,
    wanted_classes,
)
from reader.sets.kept_array import keep_array
from reader.sets.record_columns import Records, column
from reader.sets.records_table import paths_of, table_of, table_of_columns
from shardio.errors import OptionError
from shardio.format.layout import ROW
from shardio.format.naming import ShardName
from shardio.format.row_list import ListedRow, parse_row_list
from shardio.storage import storage_for
from shardio.storage.paths import name_of

SPLIT = "split"
_NAMED = 5
# Rows are below 2^35 in our format, and numbers of records in others'.
_ROW_BITS = 40
# A line for each of a hundred million rows.
_LIST_BYTES = 1 << 34


@dataclass(frozen=True)
class Selection:
    """The records that `choice` takes of `records`, which are all of some shards."""

    records: Records
    choice: Choice

    def where(self, condition: Condition | None, heads: Mapping[str, Any]) -> Choice:
        """Choose those for which all conditions hold; `heads` may have the split, too.

        Raises OptionError for what no record can have.
        """
        if condition is not None and not callable(condition):
            raise OptionError(
                f"where takes a function of the labels, not {type(condition).__name__}; a mask or "
                "a list of numbers goes into brackets: shards[mask]"
            )
        labels = {label.name: label for label in self.records.labels}
        for name in heads:
            if name not in (*labels, SPLIT):
                raise no_label(name, [*labels, SPLIT])
        classes = {
            name: wanted_classes(labels[name], value)
            for name, value in heads.items()
            if name in labels
        }
        in_splits = None
        if SPLIT in heads and SPLIT not in labels:
            in_splits = _of_splits(self.records.shards, heads[SPLIT])
        ends = np.cumsum([shard.records for shard in self.records.shards], dtype=np.int64)

        def keep(ids: Ids) -> Mask:
            mask = np.ones(len(ids), dtype=np.bool_)
            if in_splits is not None:
                mask &= in_splits[np.searchsorted(ends, ids, side="right")]
            for name, wanted in classes.items():
                mask &= np.isin(self._values(name, ids), wanted)
            if condition is not None:
                by_head = LabelsByHead([*labels], lambda name: self._values(name, ids))
                mask &= checked_mask(condition(by_head), len(ids))
            return mask

        return listed(self._kept(keep))

    def drop(self, rows: Sequence[Any] | str | os.PathLike[str]) -> Choice:
        """Choose all but those of some rows of the input table, or of a file that lists them.

        Raises OptionError for rows of which there is no record.
        """
        if isinstance(rows, str | os.PathLike):
            return self._drop_listed(os.fspath(rows))
        if not isinstance(rows, Iterable):
            raise OptionError(f"rows is a list of rows, such as [{rows!r}], not {rows!r}")
        numbers = np.array([self._row(row) for row in rows], dtype=np.int64)
        missing = {*numbers.tolist()}

        def keep(ids: Ids) -> Mask:
            found = self._values(ROW, ids) | self._members_of(ids) << _ROW_BITS
            dropped = np.isin(found, numbers)
            missing.difference_update(found[dropped].tolist())
            return ~dropped

        choice = listed(self._kept(keep))
        if missing:
            named = ", ".join(map(self._named, sorted(missing)[:_NAMED]))
            more = ", ..." if len(missing) > _NAMED else ""
            raise OptionError(f"the set has no record of row {named}{more}")
        return choice

    def _drop_listed(self, name: str) -> Choice:
        """Choose all but those of a list, whose paths are compared where both are known."""
        listed = parse_row_list(storage_for(name).read_file(name, _LIST_BYTES), name)
        if self.records.members:
            if any(row.member is None for row in listed):
                raise OptionError(
                    f"{name} lists rows of one set, and this is a join of several: it needs a "
                    "column member, with the number of the set, from 0"
                )
            for number, member in enumerate(self.records.members):
                _compare_paths(member, [row for row in listed if row.member == number], name)
            return self.drop([(row.member, row.row) for row in listed])
        if any(row.member is not None for row in listed):
            raise OptionError(f"{name} lists rows of several joined sets, and this is one set")
        _compare_paths(self.records, listed, name)
        return self.drop([row.row for row in listed])

    def _row(self, row: Any) -> int:
        """Return a row as a number, with that of its member in the higher bits."""
        pair = (0, row)
        if self.records.members:
            try:
                member, inner = row
            except (TypeError, ValueError):
                raise OptionError(
                    f"a row of several sets is a pair, (member, row), not {row!r}"
                ) from None
            pair = member, inner
        found = [number_of(number) for number in pair]
        if None in found:
            raise OptionError(f"a row is a whole number, not {pair[found.index(None)]!r}")
        first, second = (number or 0 for number in found)
        if first < 0 or not 0 <= second < 1 << _ROW_BITS:
            raise OptionError(f"the set has no record of row {row}")
        return first << _ROW_BITS | second

    def _named(self, number: int) -> str:
        member, row = divmod(number, 1 << _ROW_BITS)
        return f"({member}, {row})" if self.records.members else str(row)

    def _members_of(self, ids: Ids) -> Ids:
        """Return to which member each record belongs."""
        ends = np.cumsum([member.count for member in self.records.members], dtype=np.int64)
        return np.searchsorted(ends, ids, side="right") if len(ends) else np.zeros_like(ids)

    def values(self, name: str) -> NDArray[Any]:
        """Return the values of a head, or the rows, of its records."""
        labels = [label.name for label in self.records.labels]
        if name not in (*labels, ROW):
            raise no_label(name, [*labels, ROW])
        of_all = column(self.records, name)
        choice = self.choice
        if choice == whole(len(of_all)):
            return of_all

        def fill(array: NDArray[Any]) -> None:
            for at in range(0, len(choice), PIECE):
                numbers = np.arange(at, min(at + PIECE, len(choice)))
                array[numbers] = of_all[choice.ids(numbers)]

        shape = len(choice), *of_all.shape[1:]
        made_of = f"part {self.records.fingerprint} {choice.digest} {name}"
        return keep_array(made_of, shape, of_all.dtype, fill).array

    def table(self) -> Any:
        """Return a pyarrow.Table with a row for each record.

        Raises MissingExtraError without pyarrow.
        """
        records = self.records
        table = table_of(records.manifest, records.shards)
        if table is None:
            columns = {label.name: column(records, label.name) for label in records.labels}
            table = table_of_columns(records.shards, column(records, ROW), columns)
        if self.choice == whole(records.count):
            return table
        return table.take(self.choice.ids(np.arange(len(self.choice))))

    def _values(self, name: str, ids: Ids) -> NDArray[Any]:
        return np.asarray(column(self.records, name)[ids])

    def _kept(self, keep: Callable[[Ids], Mask]) -> Callable[[], Iterator[Ids]]:
        """Return what yields the records that `keep` keeps, in pieces, each time it is called.

        `keep` is asked once of each record, since it might say another thing the second time: a
        function of the user may draw random numbers. What it said takes a bit a record.
        """
        said: list[NDArray[np.uint8]] = []

        def pieces() -> Iterator[Ids]:
            for number, at in enumerate(range(0, len(self.choice), PIECE)):
                ids = self.choice.ids(np.arange(at, min(at + PIECE, len(self.choice))))
                if number == len(said):
                    said.append(np.packbits(keep(ids)))
                yield ids[np.unpackbits(said[number], count=len(ids)).view(np.bool_)]

        return pieces


def _of_splits(shards: Sequence[ShardFile], splits: Any) -> Mask:
    """Return which shards belong to some splits."""
    single = isinstance(splits, str) or not isinstance(splits, Iterable)
    wanted = [splits] if single else list(splits)
    names = [ShardName.parse(name_of(shard.path)) for shard in shards]
    known = sorted({name.split for name in names if name})
    for split in wanted:
        if split not in known:
            raise OptionError(f"the set has no split {split!r}; it has {', '.join(known)}")
    return np.array([name is not None and name.split in wanted for name in names], dtype=np.bool_)


def _compare_paths(records: Records, listed: Sequence[ListedRow], name: str) -> None:
    """Raise OptionError where the path of a row in the list `name` is not that of the records."""
    with_path: dict[int, set[str]] = {}
    for row in listed:
        if row.path is not None:
            with_path.setdefault(row.row, set()).add(row.path)
    if not with_path:
        return
    of_all = column(records, ROW)
    ids = np.flatnonzero(np.isin(of_all, np.array([*with_path], np.int64)))
    paths = paths_of(records.manifest, records.shards, ids)
    for row, path in zip(of_all[ids].tolist(), paths or [], strict=False):
        if path is not None and (others := with_path[row] - {path}):
            raise OptionError(
                f"{name} is a list of another table: row {row} is {min(others)!r} there, and "
                f"{path!r} here"
            )
