"""Any number of texts, sorted on disk by their code points."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import islice

import numpy as np

from converter.table.scratch import Scratch, Texts, slices

# Texts that are sorted in memory at a time, and those that are read of each sorted run.
_RUN = 1 << 16
_READ = 1 << 9


class SortedTexts:
    """Takes texts in any order; `finish` returns all of them, sorted."""

    def __init__(self, scratch: Scratch, run: int = _RUN) -> None:
        self._scratch = scratch
        self._run = run
        self._waiting: list[str] = []
        self._runs: list[Texts] = []

    def append(self, text: str) -> None:
        """Add a text, which UTF-8 can hold."""
        self._waiting.append(text)
        if len(self._waiting) >= self._run:
            self._end_run()

    def finish(self) -> Texts:
        """Return the texts in the order of code points."""
        self._end_run()
        if len(self._runs) == 1:
            return self._runs[0]
        merged = heapq.merge(*map(_texts_of, self._runs))
        column = self._scratch.texts()
        while part := list(islice(merged, self._run)):
            column.append(_array(part))
        return column.finish()

    def _end_run(self) -> None:
        if self._waiting or not self._runs:
            column = self._scratch.texts()
            column.append(_array(sorted(self._waiting)))
            self._runs.append(column.finish())
            self._waiting.clear()


def _array(texts: list[str]) -> object:
    import pyarrow as pa

    return pa.array(texts, pa.large_string())


def _texts_of(run: Texts) -> Iterator[str]:
    for part in slices(len(run), _READ):
        yield from run.take(np.arange(part.start, part.stop))
