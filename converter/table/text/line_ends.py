"""Where lines and rows of a text end."""

from __future__ import annotations

import numpy as np

from converter.table.text.quoted_cells import QuotedCells

LF, CR = b"\n\r"


def end_of_rows(data: bytes, cells: QuotedCells) -> int:
    """Return where the last line ends that is whole, and does so outside of quoted cells."""
    stop = len(data) if cells.open_at is None else cells.open_at
    while end := max(data.rfind(b"\n", 0, stop), data.rfind(b"\r", 0, stop)) + 1:
        span = int(np.searchsorted(cells.starts, end - 1)) - 1
        if span < 0 or end - 1 > cells.stops[span]:
            break
        stop = int(cells.starts[span])
    return end


def count_line_ends(data: bytes) -> int:
    """Count the ends of lines: a line feed, a carriage return or both."""
    # Six times as fast as data.count.
    values = np.frombuffer(data, np.uint8)
    feeds = values == LF
    count = np.count_nonzero(feeds)
    if b"\r" in data:
        returns = values == CR
        count += np.count_nonzero(returns) - np.count_nonzero(returns[:-1] & feeds[1:])
    return int(count)
