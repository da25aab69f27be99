"""Many reads in flight where storage is slow, and none to pay for where it is not."""

from __future__ import annotations

from collections.abc import Callable

# A record from the page cache takes some 3 microseconds, one from a fast disk some 100.
_SLOW = 20e-6
# So many steps are told ahead: a hundred records each, they keep a disk's queue full.
_STEPS = 4
# After so many steps it is measured again, with one step that was not told.
_AGAIN = 256


class ReadAhead:
    """Tells storage which records will be wanted, as long as reading them is slow.

    `advise` is called with a number of steps ahead.
    """

    def __init__(self) -> None:
        self._left = 0

    def after(self, seconds: float, records: int, advise: Callable[[int], None]) -> None:
        """Be told how long the records of a step took to read."""
        if self._left > 0:
            self._left -= 1
            advise(_STEPS)
        elif seconds > _SLOW * records:
            self._left = _AGAIN
            for step in range(1, _STEPS + 1):
                advise(step)
