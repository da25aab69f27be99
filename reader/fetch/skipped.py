"""Damaged records that were skipped: counted, reported and limited."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from threading import Lock

from shardio.errors import CorruptRecordError

# The row of a skipped record, until another one takes its place.
SKIPPED = -1
# Each of the first few is named, and then every tenth, hundredth, ... of them.
_NAMED = 20


class SkippedRecordWarning(UserWarning):
    """A damaged record was left out and another one took its place."""


@dataclass(eq=False)
class Skipped:
    """Counts the damaged records of a stream, each as often as it was met.

    `most` of the `records` that the stream reads in an epoch may be damaged, or any number.
    """

    most: int | None = None
    records: int = 0
    count: int = field(default=0, init=False)
    _places: list[str] = field(default_factory=list, init=False)
    # How many each step of an epoch replaced, those of the last two epochs: two threads may make
    # the end of one and the beginning of the next, and a step may be made again.
    _replaced: dict[int, dict[int, int]] = field(default_factory=dict, init=False)
    _lock: Lock = field(default_factory=Lock, init=False)

    def add(self, reason: str) -> None:
        """Count a record; `reason` names it."""
        with self._lock:
            self.count += 1
            count = self.count
            if len(self._places) < _NAMED and reason not in self._places:
                self._places.append(reason)
        if count <= _NAMED or str(count).strip("0") == "1":
            warnings.warn(
                f"skipped a damaged record, {count} so far: {reason}",
                SkippedRecordWarning,
                stacklevel=2,
            )

    def replace(self, epoch: int, start: int, count: int) -> None:
        """Record that the step at position `start` of an epoch has `count` damaged records.

        Raises CorruptRecordError, with their places, once an epoch has more than are allowed.
        """
        with self._lock:
            self._replaced.setdefault(epoch, {})[start] = count
            for old in [known for known in self._replaced if known < epoch - 1]:
                del self._replaced[old]
            total = sum(self._replaced[epoch].values())
        if self.most is not None and total > self.most:
            more = max(0, total - len(self._places))
            raise CorruptRecordError(
                f"{total} of the {self.records} records that this stream reads in epoch {epoch} "
                f"are damaged, and max_skipped allows {self.most}: {'; '.join(self._places)}"
                f"{f'; and {more} more' if more else ''}. `shardio-read verify` names all of "
                "them; make the shards again, or give a higher max_skipped"
            )
