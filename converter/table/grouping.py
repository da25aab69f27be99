"""Row numbers grouped by a code that each row has, such as its split: 8 bytes a row, on disk."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from converter.table.scratch import Scratch, slices


def count_codes(codes: NDArray[np.int32], kinds: int) -> NDArray[np.int64]:
    """Count the rows of each of the codes below `kinds`."""
    counts = np.zeros(kinds, dtype=np.int64)
    for part in slices(len(codes)):
        counts += np.bincount(codes[part], minlength=kinds)
    return counts


def rows_by_code(codes: NDArray[np.int32], counts: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Return the rows of each code, in ascending order."""
    ends = np.cumsum(counts)
    free = ends - counts
    with Scratch() as scratch:
        file = scratch.file()
        for part in slices(len(codes)):
            own = codes[part]
            order = np.argsort(own, kind="stable")
            own = own[order]
            for run in np.split(order, np.flatnonzero(np.diff(own)) + 1):
                code = codes[part.start + run[0]]
                with scratch.reporting():
                    file.seek(8 * int(free[code]))
                    file.write((run + part.start).data)
                free[code] += len(run)
        rows = scratch.mapped(file, np.int64, (len(codes),))
    return np.split(rows, ends[:-1])
