"""Where records come from, as the makers of batches see it."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class RecordSource(Protocol):
    """Reads records by their number in the set, from any thread.

    The integers of a record are its labels and its row, heads + 1 of them.

    `scales` tells whether a room may be of float32: the source then divides by 255. `in_blocks`
    tells whether a read is slow to begin, so that the `window` order should hold whole blocks; it
    may change when an epoch begins, to what needs no more memory.
    """

    scales: bool
    in_blocks: bool

    def room(self, records: int, dtype: str = "uint8") -> Any:
        """Make room for `records` records; its `array` is (records, image_bytes) of `dtype`.

        What else a source wants to keep for each record, it keeps in the rooms that it makes.
        """

    def fetch(self, ids: NDArray[np.int64], room: Any) -> NDArray[np.int64]:
        """Read the records `ids` into the first rows of a room; returns their integers.

        In the place of a damaged one that was skipped comes another one of them.
        """

    def fetch_run(self, first: int, pixels: NDArray[np.uint8], integers: NDArray[np.int64]) -> None:
        """Fill `pixels` (n, image_bytes) and `integers` with n records, from `first` on.

        The row of a damaged one that was skipped is `skipped.SKIPPED`.
        """

    def advise(self, ids: NDArray[np.int64]) -> None:
        """Be told that the records `ids` are wanted soon; storage may begin to read them."""

    def close(self) -> None:
        """Close the files; who still reads is not disturbed, and later reads open them again."""

    def new_epoch(self) -> None:
        """Be told that an epoch begins: look whether the shards are still those of the set."""
