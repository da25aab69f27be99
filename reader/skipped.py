"""Damaged records that were skipped: counted, and told."""

from __future__ import annotations

import warnings
from threading import Lock

# Stands for the row of a record that was skipped, until another one takes its place.
SKIPPED = -1
# Each of the first few is told by name, and then every tenth, hundredth, ... of them.
_NAMED = 20


class SkippedRecordWarning(UserWarning):
    """A damaged record was left out and another one took its place."""


class Skipped:
    """Counts the damaged records of a stream, each as often as it was met."""

    def __init__(self) -> None:
        self.count = 0
        self._lock = Lock()

    def add(self, reason: str) -> None:
        """Count a record; `reason` names it."""
        with self._lock:
            self.count += 1
            count = self.count
        if count <= _NAMED or str(count).strip("0") == "1":
            warnings.warn(
                f"skipped a damaged record, {count} so far: {reason}",
                SkippedRecordWarning,
                stacklevel=2,
            )
