"""Where quoted cells are in CSV, as RFC 4180 writes them.

A quotation mark opens a cell where a cell starts, and is a character of the cell elsewhere. In a
quoted cell two marks are one of the text, and one mark ends the cell. Arrow reads such cells too,
but takes text behind the closing mark, and the rest of the file where there is none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

MARK = b'"'
_MARK = 34


@cache
def _cell(delimiter: bytes) -> re.Pattern[bytes]:
    """Match a cell at its start; the mark that ends it is the group, if there is one."""
    return re.compile(rb'"(?<![^%s\r\n]")[^"]*(?:""[^"]*)*("?)' % re.escape(delimiter))


@dataclass(frozen=True)
class QuotedCells:
    """The spans of some bytes that lie between quotation marks, from mark to mark.

    Two marks inside a cell may divide it into two spans. `open_at` is where a cell begins that
    does not end, `bad_at` the first place where text follows the mark that ends a cell.
    """

    starts: NDArray[np.int64]
    stops: NDArray[np.int64]
    open_at: int | None = None
    bad_at: int | None = None

    @classmethod
    def find(cls, data: bytes, delimiter: bytes = b",") -> QuotedCells:
        """Find the quoted cells of bytes that begin where a row does."""
        return cls._by_turns(data, delimiter) or cls._one_by_one(data, delimiter)

    @classmethod
    def _by_turns(cls, data: bytes, delimiter: bytes = b",") -> QuotedCells | None:
        """Find them where marks open and close by turns; None where some are characters."""
        ends = delimiter + b"\r\n"
        values = np.frombuffer(data, np.uint8)
        marks = np.flatnonzero(values == _MARK)
        starts, stops = marks[::2], marks[1::2]
        before = values[starts - 1]
        before[starts == 0] = ends[0]
        if not _among(before, MARK + ends).all():
            return None
        after = values[stops[stops < len(data) - 1] + 1]
        if not _among(after, MARK + ends).all():
            return None
        if len(starts) == len(stops):
            return cls(starts, stops)
        # The marks of the open cell before its last one are pairs.
        first = len(stops)
        while first and stops[first - 1] + 1 == starts[first]:
            first -= 1
        return cls(starts[:-1], stops, open_at=int(starts[first]))

    @classmethod
    def _one_by_one(cls, data: bytes, delimiter: bytes = b",") -> QuotedCells:
        ends = delimiter + b"\r\n"
        spans: list[tuple[int, int]] = []
        for cell in _cell(delimiter).finditer(data):
            if not cell[1]:
                return cls(*_columns(spans), open_at=cell.start())
            if cell.end() < len(data) and data[cell.end()] not in ends:
                return cls(*_columns(spans), bad_at=cell.end())
            spans.append((cell.start(), cell.end() - 1))
        return cls(*_columns(spans))

    def hold(self, places: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which of some places, in order, are inside of a cell; all are, of an open one."""
        if self.open_at is not None:
            later: NDArray[np.bool_] = places > self.open_at
        else:
            later = np.zeros(len(places), np.bool_)
        if not len(self.starts):
            return later
        span = np.searchsorted(self.starts, places) - 1
        return later | ((span >= 0) & (places < self.stops[span]))


def _among(values: NDArray[np.uint8], some: bytes) -> NDArray[np.bool_]:
    found = np.zeros(256, np.bool_)
    found[list(some)] = True
    among: NDArray[np.bool_] = found[values]
    return among


def _columns(spans: list[tuple[int, int]]) -> tuple[Any, Any]:
    pairs = np.array(spans, np.int64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]
