"""Other records of the set in place of damaged ones that were skipped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reader.batching.reading import Reader
from reader.fetch.skipped import SKIPPED
from shardio.errors import CorruptRecordError

# Records that are tried where all of a batch are damaged.
_TRIES = 1000


def replace_skipped(
    source: Reader,
    ids: NDArray[np.int64],
    images: NDArray[Any],
    integers: NDArray[np.int64],
    records: int,
    others: Callable[[int], NDArray[np.int64]],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Fill the rows of a batch that were skipped with whole records, each as often as the others.

    They are those of the same batch; where it has none, of the `records` of the set, which `others`
    names so many ahead. Returns the integers and the numbers of the records of all rows. Raises
    CorruptRecordError where no record can be used.
    """
    good = integers[:, -1] != SKIPPED
    for ahead in range(1, min(_TRIES, records), len(ids)):
        if good.any():
            break
        ids = others(ahead)
        integers = source.fetch(ids, images)
        good = integers[:, -1] != SKIPPED
    if not good.any():
        raise CorruptRecordError(
            f"of {min(_TRIES, records)} records, from record {int(ids[0])} of the set on, none can "
            "be used: all are damaged"
        )
    bad = np.flatnonzero(~good)
    from_ = np.resize(np.flatnonzero(good), len(bad))
    images[bad], integers[bad] = images[from_], integers[from_]
    ids = ids.copy()
    ids[bad] = ids[from_]
    return integers, ids
