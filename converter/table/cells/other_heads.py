"""The label columns that are not one integer, or one text, in each row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from converter.table.cells.numbers_column import NumbersColumn
from converter.table.cells.sequence_column import SequenceColumn
from shardio.errors import OptionError
from shardio.format.label import FLOAT, INT
from shardio.format.sequences import length_of
from shardio.grammar import agreeing

OtherColumn = NumbersColumn | SequenceColumn


@dataclass(frozen=True)
class OtherHeads:
    """Columns of floats, of several integers, and of texts with at most so many characters.

    A column `text` of the last kind becomes two heads: `text`, and `text_length`.
    """

    floats: tuple[str, ...] = ()
    vectors: tuple[str, ...] = ()
    sequences: tuple[tuple[str, int], ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of all columns."""
        return (*self.floats, *self.vectors, *(name for name, _ in self.sequences))

    def reader(
        self, column: str, classes: int | None, characters: tuple[str, ...] | None
    ) -> OtherColumn:
        """Return what reads one of the columns; `characters` are those of sequences, if given."""
        if column in self.floats:
            return NumbersColumn(FLOAT, None)
        if column in self.vectors:
            return NumbersColumn(INT, classes)
        return SequenceColumn(dict(self.sequences)[column], characters)

    def check_missing(self, columns: Sequence[str], heads: Sequence[str]) -> None:
        """Raise OptionError where there are only such `columns`, whose values are no classes."""
        if columns and not heads:
            raise OptionError(
                "--missing is the class of labels that are missing; "
                f"{', '.join(columns)} {agreeing(len(columns), 'has')} no classes, and every row "
                "needs a value"
            )

    def heads_of(self, columns: Sequence[str]) -> tuple[str, ...]:
        """Return the heads that label columns become."""
        names = {name for name, _ in self.sequences}
        of_each = ((c, length_of(c)) if c in names else (c,) for c in columns)
        return tuple(head for heads in of_each for head in heads)


def characters_of(readers: Mapping[str, OtherColumn]) -> tuple[str, ...] | None:
    """Return the characters that sequences were seen to have; None if there are no sequences."""
    found = [reader.seen for reader in readers.values() if isinstance(reader, SequenceColumn)]
    if not found:
        return None
    return tuple(map(chr, np.flatnonzero(np.logical_or.reduce(found)).tolist()))


def ids_among(before: int, readers: Mapping[str, OtherColumn]) -> NDArray[np.bool_]:
    """Return which of a row's numbers are ids of characters; `before` come first and are none."""
    found = [False] * before
    for reader in readers.values():
        for place, kind in enumerate(reader.kinds):
            found += [isinstance(reader, SequenceColumn) and place == 0] * kind.length
    return np.array(found, dtype=np.bool_)
