"""Many reads in flight where storage is slow, and none to pay for where it is not."""

from __future__ import annotations

from collections.abc import Callable

from reader.fetch.waiting import Taken, Waiting

# So many steps are told ahead: a hundred records each, they keep a disk's queue full.
_STEPS = 4


class ReadAhead:
    """Tells storage which records will be wanted, as long as reading them is slow.

    `advise` is called with a number of steps ahead.
    """

    def __init__(self) -> None:
        self._waiting = Waiting()

    def after(self, taken: Taken, records: int, advise: Callable[[int], None]) -> None:
        """Be told what it took to read the records of a step."""
        told = self._waiting.is_slow
        if self._waiting.saw(taken, records):
            for step in range(1, _STEPS + 1):
                advise(step)
        elif told:
            advise(_STEPS)
