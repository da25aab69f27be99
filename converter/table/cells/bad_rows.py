"""The bad rows of a table: the first ones described, all counted, in an eighth of a byte a row."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from shardio.errors import TableError

_SHOWN = 20


# Says where some rows of a table are, which are in ascending order.
Places = Callable[[Sequence[int]], list[str]]


def _rows(rows: Sequence[int]) -> list[str]:
    return [f"row {row}" for row in rows]


@dataclass(frozen=True)
class Bad:
    """Rows that are bad in one way, in ascending order, and what is wrong with each.

    `wordy` marks a label that is a text: the fault of the row, or of the whole column; `missing`
    one that is empty, or -1.
    """

    rows: NDArray[np.int64]
    describe: Callable[[int], str]
    wordy: bool = False
    missing: bool = False

    def without(self, others: Iterable[Bad]) -> Bad:
        """Return what is left without the rows of others."""
        rows = self.rows
        for other in others:
            rows = np.setdiff1d(rows, other.rows, assume_unique=True)
        return replace(self, rows=rows)


class BadRows:
    """Collects what is bad about the rows of a table."""

    def __init__(self) -> None:
        self._first: list[tuple[int, str, str]] = []
        self._count = 0
        self._bits = np.zeros(0, dtype=np.uint8)

    def __bool__(self) -> bool:
        return self._count > 0

    def add(self, bad: Bad, base: int = 0, column: str = "") -> None:
        """Add the rows of a slice that begins at row `base`."""
        if not len(bad.rows):
            return
        self._count += len(bad.rows)
        self._mark(bad.rows + base)
        last = self._first[-1][0] if len(self._first) == _SHOWN else None
        for row in bad.rows[:_SHOWN].tolist():
            if last is not None and base + row > last:
                break
            why = bad.describe(row)
            text = f"{column} is {why}" if column else why
            self._first.append((base + row, text, column if bad.wordy else ""))
        self._first = sorted(self._first)[:_SHOWN]

    def refuse(
        self,
        name: str,
        places: Places = _rows,
        *,
        texts: Collection[str] = (),
        advice: str = "",
    ) -> None:
        """Raise TableError, if there are any; `places` says where they are.

        Columns of `texts` alone have one fault, and their rows are not listed. The `advice` is for
        some of the rows.
        """
        if not self._count:
            return
        for row, text, column in self._first:
            if column in texts:
                raise TableError(
                    f"{name}: {text} ({places([row])[0]}); labels that are texts need "
                    f"--text-labels, or --characters {column} for one of each character"
                )
        shown = sorted({row for row, _, _ in self._first})
        place = dict(zip(shown, places(shown), strict=True))
        lines = [f"{place[row]}: {text}" for row, text, _ in self._first]
        if self._count > _SHOWN:
            lines.append(f"and {self._count - _SHOWN} more")
        rows = int.from_bytes(self._bits.tobytes(), "little").bit_count()
        raise TableError(
            f"{name} has {rows} bad {'row' if rows == 1 else 'rows'} "
            f"(counted from 0, without the header{advice}):\n  " + "\n  ".join(lines)
        )

    def _mark(self, rows: NDArray[np.int64]) -> None:
        need = int(rows[-1]) // 8 + 1
        if need > len(self._bits):
            grown = np.zeros(max(need, 2 * len(self._bits)), dtype=np.uint8)
            grown[: len(self._bits)] = self._bits
            self._bits = grown
        np.bitwise_or.at(self._bits, rows >> 3, np.left_shift(1, rows & 7).astype(np.uint8))
