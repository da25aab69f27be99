"""Paths that are in two splits: what was trained on would be tested.

Among any number of rows they are found in bounded memory. Each path has a hash of 64 bits on disk.
The rows are sorted by the first bits of it, on disk too, so that those of one kind are few: which
hashes are in two splits? Their rows, usually none, are then compared by their paths. Where there
are many of them, each path takes 16 bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converter.bad_rows import Bad, BadRows
from converter.grouping import count_codes, rows_by_code
from converter.scratch import Scratch, Texts, slices

# Hashes in memory at a time: some 8 MB with what sorting them takes.
_AT_A_TIME = 1 << 17
_MOST_BITS = 12

_Rows = NDArray[np.int64]
_Spans = tuple[NDArray[np.uint64], NDArray[np.int32], NDArray[np.int32]]


def hashes_of(paths: Any) -> NDArray[np.uint64]:
    """Hash an Arrow array of strings; another process gives other hashes."""
    values = map(hash, paths.to_pylist())
    return np.fromiter(values, dtype=np.int64, count=len(paths)).view(np.uint64)


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
    suspects = _hashes_in_two_splits(hashes, split, at_a_time)
    if not len(suspects):
        return
    first = np.full(len(suspects), -1, dtype=np.int64)
    # Paths whose hash is that of another path: one in 2^64 pairs.
    others: dict[str, int] = {}
    for part in slices(len(hashes)):
        place = np.minimum(np.searchsorted(suspects, hashes[part]), len(suspects) - 1)
        rows = np.flatnonzero(suspects[place] == hashes[part]) + part.start
        place = place[rows - part.start]
        fresh, at = np.unique(place, return_index=True)
        unseen = first[fresh] < 0
        first[fresh[unseen]] = rows[at[unseen]]
        origin = first[place]
        for index, (own, earlier) in enumerate(
            zip(paths.take(rows), paths.take(origin), strict=True)
        ):
            if spell(own) != spell(earlier):
                origin[index] = others.setdefault(spell(own), int(rows[index]))
        wrong = split[rows] != split[origin]
        wrong_rows, origins = rows[wrong], origin[wrong]

        def describe(row: int, rows: _Rows = wrong_rows, origins: _Rows = origins) -> str:
            (path,) = paths.take(np.array([row]))
            earlier = int(origins[np.searchsorted(rows, row)])
            return (
                f"path {path!r} is in split {splits[split[row]]}, and in split "
                f"{splits[split[earlier]]} in row {earlier}"
            )

        bad.add(Bad(wrong_rows, describe))


def _hashes_in_two_splits(
    hashes: NDArray[np.uint64], split: NDArray[np.int32], at_a_time: int
) -> NDArray[np.uint64]:
    """Return the hashes that are in rows of different splits, sorted."""
    bits = min(_MOST_BITS, max(1, (len(hashes) // at_a_time).bit_length()))
    shift = np.uint64(64 - bits)
    found = []
    with Scratch() as scratch:
        column = scratch.column(np.int32)
        for part in slices(len(hashes)):
            column.append((hashes[part] >> shift).astype(np.int32))
        first_bits = column.finish()
    for rows in rows_by_code(first_bits, count_codes(first_bits, 1 << bits)):
        spans: list[_Spans] = []
        waiting = 0
        # One path in very many rows is summed up in between.
        for part in slices(len(rows), at_a_time):
            code = split[rows[part]]
            spans.append((hashes[rows[part]], code, code))
            waiting += len(code)
            if waiting > 2 * at_a_time:
                spans = [_together(spans)]
                waiting = len(spans[0][0]) // 2
        if spans:
            own, low, high = _together(spans)
            found.append(own[low != high])
    return np.concatenate(found)


def _together(spans: list[_Spans]) -> _Spans:
    """Return each hash once, sorted, with the lowest and the highest split it is in."""
    hashes, low, high = (np.concatenate(column) for column in zip(*spans, strict=True))
    order = np.argsort(hashes)
    hashes, low, high = hashes[order], low[order], high[order]
    starts = np.flatnonzero(np.diff(hashes, prepend=~hashes[:1]) != 0)
    if not len(starts):
        return hashes, low, high
    return hashes[starts], np.minimum.reduceat(low, starts), np.maximum.reduceat(high, starts)
