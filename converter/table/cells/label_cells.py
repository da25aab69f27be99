"""The cells of label columns, of which one may hold several labels: characters, or numbers.

How many a cell has is that of most cells at the start of the table. Cells of another number are bad
rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from converter.table.cells.bad_rows import Bad
from converter.table.cells.columns import plain, shown, texts
from converter.table.cells.plain_texts import PlainTexts
from shardio.errors import TableError
from shardio.grammar import counted

# Numbers between white space, commas or semicolons, perhaps in brackets. Two with a comma alone may
# be one that has a decimal comma.
_SEVERAL = (
    r"^\s*(?:[\[(]\s*)?[+-]?[0-9]+(?:\.0*)?"
    r"(?:(?:\s*[;\s]\s*|\s*,\s+)[+-]?[0-9]+(?:\.0*)?|(?:,[+-]?[0-9]+){2})"
)
# Nothing between two commas is a value that is missing; those behind it keep their places.
_BETWEEN = r"\s*[,;]\s*|\s+"
_AROUND = r"^[\s\[(]+|[\s\])]+$"
CHARACTERS, NUMBERS = "characters", "values"


@dataclass(frozen=True)
class _Cut:
    """How the cells of a column become labels, one for each of `heads`."""

    column: str
    heads: tuple[str, ...]
    what: str = ""


class LabelCells:
    """The label columns of a table, as the batch at its start shows them.

    `heads` are the labels of all of them in order, `firsts` the first ones of each column. With
    `characters` each character of that column is a label, and with `are_texts` no text is taken for
    numbers. Raises TableError where there would be two labels of one name.
    """

    def __init__(
        self, first: Any, columns: Sequence[str], characters: str | None, *, are_texts: bool
    ) -> None:
        self._plain = PlainTexts() if are_texts else None
        self._cuts = []
        # What helps against bad rows.
        self.advice = ""
        for column in columns:
            what = CHARACTERS if column == characters else ""
            if not what and first is not None and _has_several(first.column(column), are_texts):
                what = NUMBERS
            heads: tuple[str, ...] = (column,)
            if what and first is not None:
                count = _usual(_lengths(_cells(first.column(column), what), what))
                alone = len(columns) == 1 or what == CHARACTERS
                heads = tuple(f"y{n}" if alone else f"{column}_{n}" for n in range(count))
            self._cuts.append(_Cut(column, heads, what))
        self.heads = tuple(head for cut in self._cuts for head in cut.heads)
        self.firsts = {cut.heads[0] for cut in self._cuts}
        twice = sorted({head for head in self.heads if self.heads.count(head) > 1})
        if twice:
            raise TableError(
                f"there would be two labels {', '.join(twice)}: one of a column of that name, one "
                "of the parts of another column"
            )

    def notes(self) -> list[str]:
        """Say which cells were cut, and into what."""
        return [
            f"each of the {len(cut.heads):,} {cut.what} in a cell of {cut.column} is a label, "
            f"{cut.heads[0]} to {cut.heads[-1]}"
            for cut in self._cuts
            if cut.what and len(cut.heads) > 1
        ] + (self._plain.notes() if self._plain is not None else [])

    def parts(self, batch: Any) -> Iterator[tuple[str, Any, list[Bad]]]:
        """Yield each label of a batch: its name, its values, and the rows that have none.

        These rows are bad, for all labels of a column in the same way.
        """
        for cut in self._cuts:
            column = batch.column(cut.column)
            parts: Iterable[tuple[str, Any, list[Bad]]] = [(cut.column, column, [])]
            if cut.what:
                parts = _parts(cut, _cells(column, cut.what))
            for head, part, bad in parts:
                if cut.what == CHARACTERS and any(len(one.rows) for one in bad):
                    self.advice = f"; --sequence {cut.column}:N keeps texts of up to N characters"
                # A space is a character.
                if self._plain is not None and cut.what != CHARACTERS:
                    part = self._plain.of(texts(part))
                yield head, part, bad


def _has_several(column: Any, are_texts: bool) -> bool:
    import pyarrow as pa
    import pyarrow.compute as pc

    if _is_list(column.type):
        return True
    if are_texts or not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return False
    filled = column.filter(pc.not_equal(pc.utf8_trim_whitespace(column), ""))
    return bool(len(filled) and pc.match_substring_regex(filled, _SEVERAL)[0].as_py())


def _is_list(kind: Any) -> bool:
    import pyarrow as pa

    of = pa.types
    return bool(of.is_list(kind) or of.is_large_list(kind) or of.is_fixed_size_list(kind))


def _cells(column: Any, what: str) -> Any:
    """Return texts of characters, or lists of values."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if what == CHARACTERS:
        return plain(texts(column))
    if pa.types.is_fixed_size_list(column.type):
        return column.cast(pa.list_(column.type.value_type))
    if _is_list(column.type):
        return column
    inner = pc.replace_substring_regex(texts(column), _AROUND, "")
    return pc.split_pattern_regex(inner, _BETWEEN)


def _lengths(cells: Any, what: str) -> Any:
    import pyarrow.compute as pc

    count = pc.utf8_length if what == CHARACTERS else pc.list_value_length
    return pc.fill_null(count(cells), 0).to_numpy(zero_copy_only=False)


def _usual(lengths: Any) -> int:
    some = lengths[lengths > 0]
    if not len(some):
        return 1
    _, firsts, counts = np.unique(some, return_index=True, return_counts=True)
    return int(some[firsts[counts == counts.max()].min()])


def _parts(cut: _Cut, cells: Any) -> Iterator[tuple[str, Any, list[Bad]]]:
    import pyarrow as pa
    import pyarrow.compute as pc

    count = len(cut.heads)
    lengths = _lengths(cells, cut.what)
    wrong = lengths != count

    def describe(row: int) -> str:
        value = cells[row].as_py()
        text = value if isinstance(value, str) else " ".join(map(str, value or ()))
        own = counted(lengths[row], cut.what.removesuffix("s"))
        return f"{cut.column} is {shown(text)!r}, of {own}, not {count:,}"

    bad = [Bad(np.flatnonzero(wrong), describe)]
    whole = cells
    if wrong.any():
        # Those rows have no value, whatever is in them.
        whole = pc.if_else(pa.array(wrong), pa.scalar(None, cells.type), cells)
    for number, head in enumerate(cut.heads):
        if cut.what == CHARACTERS:
            part = pc.utf8_slice_codeunits(whole, number, number + 1)
        else:
            part = pa.nulls(len(cells), cells.type.value_type)
            if not wrong.all():
                part = pc.list_element(whole, number)
        yield head, part, bad
