"""Where records come from, as the makers of batches see it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from reader.fetch.waiting import Stopwatch, Taken


class Fetch(Protocol):
    """Records that are fetched; `taken` is known when the result is."""

    @property
    def taken(self) -> Taken:
        """What it took to read them."""

    def result(self) -> NDArray[np.int64]:
        """Wait for the records; returns their integers."""


class RecordSource(Protocol):
    """Reads records by their number in the set, from any thread.

    The integers of a record are its numbers: the values of its labels, a float as its 32 bits, and
    its row.

    `scales` tells whether a room may be of float32: the source then divides by 255. `in_blocks`
    tells whether a read is slow to begin, so that the `window` order should hold whole blocks.
    `begins` tells whether `begin` reads while the caller goes on.
    """

    scales: bool
    in_blocks: bool
    begins: bool

    def room(self, records: int, dtype: str = "uint8") -> Any:
        """Make room for `records` records; its `array` is (records, image_bytes) of `dtype`.

        What else a source wants to keep for each record, it keeps in the rooms that it makes.
        """

    def fetch(self, ids: NDArray[np.int64], room: Any) -> NDArray[np.int64]:
        """Read the records `ids` into the first rows of a room; returns their integers.

        The row of a damaged one that was skipped is `skipped.SKIPPED`.
        """

    def begin(self, ids: NDArray[np.int64], room: Any) -> Fetch:
        """Begin to `fetch`."""

    def fetch_run(self, first: int, pixels: NDArray[np.uint8], integers: NDArray[np.int64]) -> None:
        """Fill `pixels` (n, image_bytes) and `integers` with n records, from `first` on.

        The row of a damaged one that was skipped is `skipped.SKIPPED`.
        """

    def advise(self, ids: NDArray[np.int64]) -> bool:
        """Be told that the records `ids` are wanted soon; storage may begin to read them.

        Returns whether it may have something to read: they may be in memory already.
        """

    def close(self) -> None:
        """Close the files; who still reads is not disturbed, and later reads open them again."""


class LaterFetch:
    """Records that `fetch` reads when their result is asked for."""

    taken = Taken(0.0, 0)

    def __init__(
        self,
        fetch: Callable[[NDArray[np.int64], Any], NDArray[np.int64]],
        ids: NDArray[np.int64],
        room: Any,
    ) -> None:
        self._fetch = fetch
        self._ids = ids
        self._room = room

    def result(self) -> NDArray[np.int64]:
        """Read the records; returns their integers."""
        watch = Stopwatch()
        integers = self._fetch(self._ids, self._room)
        self.taken = watch.taken()
        return integers
