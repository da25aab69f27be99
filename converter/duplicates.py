"""Paths that are in two splits: what was trained on would be tested.

Among any number of rows they are found in bounded memory. Each path has a hash of 64 bits on disk.
The hashes are gone through once for each of their first bits, so that those of one time are few:
which of them are in two splits? The rows of such hashes, usually none, are then compared by their
paths. Where there are many of them, each takes 16 bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converter.bad_rows import Bad, BadRows
from converter.scratch import Texts, slices

# Hashes in memory at a time: some 30 MB with what sorting them takes.
_AT_A_TIME = 1 << 19
_COMPARED = 1 << 16

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
    at_a_time: int = _AT_A_TIME,
) -> None:
    """Add each row whose path is in another split already, in an earlier row."""
    if len(splits) < 2:
        return
    suspects = _hashes_in_two_splits(hashes, split, at_a_time)
    if not len(suspects):
        return
    first = np.full(len(suspects), -1, dtype=np.int64)
    # Paths whose hash is that of another path: one in 2^64 pairs.
    others: dict[str, int] = {}
    for part in slices(len(hashes), _COMPARED):
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
            if own != earlier:
                origin[index] = others.setdefault(own, int(rows[index]))
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
    bits = max(0, (len(hashes) // at_a_time).bit_length())
    found = []
    for prefix in range(1 << bits):
        spans: list[_Spans] = []
        waiting = 0
        for part in slices(len(hashes)):
            own = np.asarray(hashes[part])
            rows = np.flatnonzero(own >> np.uint64(64 - bits) == prefix) if bits else slice(None)
            own, code = own[rows], split[part][rows]
            spans.append((own, code, code))
            waiting += len(own)
            if waiting > at_a_time:  # one path in very many rows
                spans = [_together(spans)]
                waiting = len(spans[0][0]) // 2
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
