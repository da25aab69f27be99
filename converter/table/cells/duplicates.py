"""Paths that are in several rows which differ: in two splits, or with two labels.

Among any number of rows they are found in bounded memory. Each path has a hash of 64 bits on disk.
The rows are sorted by the first bits of it, on disk too, so that those of one kind are few: which
hashes are in rows that differ? Their rows, usually none, are then compared by their paths. Where
there are many of them, each path takes 16 bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converter.table.cells.bad_rows import Bad, BadRows
from converter.table.grouping import count_codes, rows_by_code
from converter.table.scratch import Scratch, Texts, slices

# Hashes in memory at a time: some 8 MB with what sorting them takes.
_AT_A_TIME = 1 << 17
_MOST_BITS = 12

_Rows = NDArray[np.int64]
_Spans = tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.int64]]
# Returns a number for each of some rows; those of rows that differ are different.
Codes = Callable[[_Rows], NDArray[np.int64]]
# Mixes the labels of a row, so that different ones give different numbers, but in one of 2^64.
_MIX = np.uint64(0x9E3779B97F4A7C15)


def hashes_of(paths: Any) -> NDArray[np.uint64]:
    """Hash an Arrow array of strings; another process gives other hashes."""
    values = map(hash, paths.to_pylist())
    return np.fromiter(values, dtype=np.int64, count=len(paths)).view(np.uint64)


def codes_of_labels(labels: NDArray[np.int32]) -> Codes:
    """Return the codes of labels (rows, heads)."""

    def codes(rows: _Rows) -> NDArray[np.int64]:
        mixed = np.zeros(len(rows), np.uint64)
        for column in labels[rows].T:
            mixed = mixed * _MIX + column.astype(np.uint64)
        return mixed.view(np.int64)

    return codes


def add_paths_in_two_splits(
    bad: BadRows,
    paths: Texts,
    hashes: NDArray[np.uint64],
    splits: Sequence[str],
    split: NDArray[np.int32],
    spell: Callable[[str], str] = str,
    at_a_time: int = _AT_A_TIME,
) -> None:
    """Add each row whose path is in another split already, in an earlier row.

    `hashes` are those of the paths as `spell` spells them.
    """
    if len(splits) < 2:
        return
    found = DifferingPaths(
        paths, hashes, lambda rows: split[rows].astype(np.int64), spell, at_a_time
    )
    found.add_to(
        bad,
        lambda path, row, earlier: (
            f"path {path!r} is in split {splits[split[row]]}, and in split "
            f"{splits[split[earlier]]} in row {earlier}"
        ),
    )


class DifferingPaths:
    """The paths that are in several rows of different codes.

    `hashes` are those of the paths as `spell` spells them.
    """

    def __init__(
        self,
        paths: Texts,
        hashes: NDArray[np.uint64],
        codes: Codes,
        spell: Callable[[str], str] = str,
        at_a_time: int = _AT_A_TIME,
    ) -> None:
        self._paths = paths
        self._hashes = hashes
        self._codes = codes
        self._spell = spell
        self._suspects = _hashes_of_two_codes(hashes, codes, at_a_time)

    def __len__(self) -> int:
        """Count the paths; two of one hash, one in 2^64 pairs, count as one."""
        return len(self._suspects)

    def example(self) -> tuple[str, int, int] | None:
        """Return one of the paths and two of its rows, the first and one that differs from it."""
        for rows, origins in self._rows():
            if len(rows):
                (path,) = self._paths.take(rows[:1])
                return path, int(origins[0]), int(rows[0])
        return None

    def add_to(self, bad: BadRows, describe: Callable[[str, int, int], str]) -> None:
        """Add each row that differs from the first one of its path.

        `describe` is given the path and the two rows.
        """
        for rows, origins in self._rows():

            def of_row(row: int, rows: _Rows = rows, origins: _Rows = origins) -> str:
                (path,) = self._paths.take(np.array([row]))
                return describe(path, row, int(origins[np.searchsorted(rows, row)]))

            bad.add(Bad(rows, of_row))

    def _rows(self) -> Iterator[tuple[_Rows, _Rows]]:
        """Yield rows that differ from the first ones of their paths, and those, slice by slice."""
        suspects = self._suspects
        if not len(suspects):
            return
        first = np.full(len(suspects), -1, dtype=np.int64)
        # Paths whose hash is that of another path: one in 2^64 pairs.
        others: dict[str, int] = {}
        for part in slices(len(self._hashes)):
            own_hashes = self._hashes[part]
            place = np.minimum(np.searchsorted(suspects, own_hashes), len(suspects) - 1)
            rows = np.flatnonzero(suspects[place] == own_hashes) + part.start
            place = place[rows - part.start]
            fresh, at = np.unique(place, return_index=True)
            unseen = first[fresh] < 0
            first[fresh[unseen]] = rows[at[unseen]]
            origin = first[place]
            texts = zip(self._paths.take(rows), self._paths.take(origin), strict=True)
            for index, (own, earlier) in enumerate(texts):
                if own != earlier and self._spell(own) != self._spell(earlier):
                    origin[index] = others.setdefault(self._spell(own), int(rows[index]))
            wrong = self._codes(rows) != self._codes(origin)
            yield rows[wrong], origin[wrong]


def _hashes_of_two_codes(
    hashes: NDArray[np.uint64], codes: Codes, at_a_time: int
) -> NDArray[np.uint64]:
    """Return the hashes that are in rows of different codes, sorted."""
    bits = min(_MOST_BITS, max(1, (len(hashes) // at_a_time).bit_length()))
    shift = np.uint64(64 - bits)
    found = []
    with Scratch() as scratch:
        column = scratch.column(np.int32)
        for part in slices(len(hashes)):
            column.append((hashes[part] >> shift).astype(np.int32))
        first_bits = column.finish()
    for rows in rows_by_code(first_bits, count_codes(first_bits, 1 << bits)):
        if len(rows) <= 2 * at_a_time and _are_unique(hashes[rows]):
            continue
        spans: list[_Spans] = []
        waiting = 0
        # One path in very many rows is summed up in between.
        for part in slices(len(rows), at_a_time):
            code = codes(rows[part])
            spans.append((hashes[rows[part]], code, code))
            waiting += len(code)
            if waiting > 2 * at_a_time:
                spans = [_together(spans)]
                waiting = len(spans[0][0]) // 2
        if spans:
            own, low, high = _together(spans)
            found.append(own[low != high])
    return np.concatenate(found) if found else np.zeros(0, np.uint64)


def _are_unique(values: NDArray[np.uint64]) -> bool:
    values = np.sort(values)
    return not (values[1:] == values[:-1]).any()


def _together(spans: list[_Spans]) -> _Spans:
    """Return each hash once, sorted, with the lowest and the highest split it is in."""
    hashes, low, high = (np.concatenate(column) for column in zip(*spans, strict=True))
    order = np.argsort(hashes)
    hashes, low, high = hashes[order], low[order], high[order]
    starts = np.flatnonzero(np.diff(hashes, prepend=~hashes[:1]) != 0)
    if not len(starts):
        return hashes, low, high
    return hashes[starts], np.minimum.reduceat(low, starts), np.maximum.reduceat(high, starts)
