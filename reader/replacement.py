"""Another record of the set in place of a step whose records are all damaged."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reader.blocks import BlockFetcher
from reader.source import RecordSource
from shardio.errors import CorruptRecordError

# Records that are tried, one after the other.
_TRIES = 1000


def fetch_another(
    source: RecordSource | BlockFetcher, ids: NDArray[np.int64], room: Any, records: int
) -> NDArray[np.int64]:
    """Fill the first rows of a room with the next whole record behind `ids`.

    Returns its integers for each row. `records` is the size of the set. Raises CorruptRecordError
    where none is found.
    """
    tries = min(_TRIES, records)
    for ahead in range(1, tries):
        with suppress(CorruptRecordError):
            one = source.fetch((ids[:1] + ahead) % records, room)
            room.array[1 : len(ids)] = room.array[0]
            return np.repeat(one, len(ids), axis=0)
    raise CorruptRecordError(
        f"of {tries} records, from record {int(ids[0])} of the set on, none can be used: all "
        "are damaged"
    )
