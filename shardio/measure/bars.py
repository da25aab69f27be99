"""A table with a bar in each row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_CELLS = 24
_EIGHTHS = " ▏▎▍▌▋▊▉"


@dataclass(frozen=True)
class Row:
    """A row: its name, its cells, and how full its bar is, 0 to 1; None draws no bar."""

    name: str
    cells: Sequence[str]
    share: float | None = None


def table(heads: Sequence[str], rows: Sequence[Row], encoding: str = "utf-8") -> list[str]:
    """Return the lines of a table: names to the left, cells to the right, bars at the end.

    `encoding` is the terminal's: where it lacks blocks, bars are of number signs.
    """
    name, *columns = heads
    width = max(len(name), *(len(row.name) for row in rows))
    widths = [
        max(len(head), *(len(row.cells[at]) for row in rows)) for at, head in enumerate(columns)
    ]

    def line(first: str, cells: Sequence[str]) -> str:
        right = (f"{cell:>{room}}" for cell, room in zip(cells, widths, strict=True))
        return "  ".join([f"{first:{width}}", *right])

    lines = [line(name, columns)]
    for row in rows:
        drawn = "" if row.share is None else f"  {bar(row.share, encoding)}"
        lines.append(f"{line(row.name, row.cells)}{drawn}".rstrip())
    return lines


def bar(share: float, encoding: str = "utf-8") -> str:
    """Return a bar that is so full, 0 to 1; what is not nothing can be seen."""
    eighths = round(min(max(share, 0.0), 1.0) * _CELLS * 8)
    eighths = max(eighths, int(share > 0))
    full, rest = divmod(eighths, 8)
    drawn = ("█" * full + _EIGHTHS[rest]).rstrip()
    try:
        drawn.encode(encoding)
    except UnicodeEncodeError:
        return "#" * max(full, int(share > 0))
    return drawn
