"""A label column with several numbers in a cell, or with floats.

| cells                   | are                                                     |
|-------------------------|---------------------------------------------------------|
| numbers                 | one number each                                         |
| lists (JSON, Parquet)   | as many numbers as they have                            |
| texts                   | numbers with spaces between, or as `[1, 2]`             |

A comma without brackets is refused: `1,5` may be one number or two.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from converter.table.cells.bad_rows import Bad
from converter.table.cells.columns import LabelColumn, texts
from shardio.format.label import FLOAT, MAX_LENGTH, LabelKind, numbers_of
from shardio.grammar import counted

_FLOAT = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_LIST = r"^\[\s*(.*?)\s*\]$"
# Stands between numbers when a text is cut, and in no text of a table.
_CUT = "\x1f"


class NumbersColumn:
    """The labels of one head, of as many numbers in each row as in the first that has any."""

    def __init__(self, number: str, classes: int | None) -> None:
        self._number = number
        self._length = 0
        self._integers = LabelColumn(classes)

    @property
    def kinds(self) -> tuple[LabelKind]:
        """What the labels are, as far as is known."""
        return (LabelKind(self._number, self._length or 1),)

    def numbers(self, column: Any) -> tuple[NDArray[np.int64], list[Bad]]:
        """Return a slice as numbers (rows, length), zero where there are none, and what is bad."""
        flat, lengths = _flattened(column)
        if not self._length and lengths.any():
            self._length = int(lengths[lengths > 0][0])
            if self._length > MAX_LENGTH:
                raise ValueError(f"it has {self._length:,} numbers; {MAX_LENGTH:,} is the most")
        length = self.kinds[0].length
        values, found = _floats(flat) if self._number == FLOAT else self._integers.labels(flat)
        row_of = np.repeat(np.arange(len(lengths)), lengths)
        bad = [_of_rows(of_flat, row_of, lengths) for of_flat in found]
        none, other = lengths == 0, (lengths > 0) & (lengths != length)

        def describe(row: int) -> str:
            return f"{counted(int(lengths[row]), 'number')}, not {length} as in the first row"

        bad.append(Bad(np.flatnonzero(none), lambda row: "missing"))
        bad.append(Bad(np.flatnonzero(other), describe))
        out = np.zeros((len(lengths), length), dtype=np.int64)
        fits = lengths == length
        out[fits] = values[fits[row_of]].reshape(-1, length)
        return out, bad


def _of_rows(bad: Bad, row_of: NDArray[np.int64], lengths: NDArray[np.int64]) -> Bad:
    """Turn what is bad about numbers, one after the other, into what is bad about their rows."""
    rows, first = np.unique(row_of[bad.rows], return_index=True)
    number = dict(zip(rows.tolist(), bad.rows[first].tolist(), strict=True))
    starts = np.cumsum(lengths) - lengths

    def describe(row: int) -> str:
        at = number[row] - int(starts[row])
        where = f" at {at}" if lengths[row] > 1 else ""
        return f"{bad.describe(number[row])}{where}"

    return Bad(rows, describe)


def _flattened(column: Any) -> tuple[Any, NDArray[np.int64]]:
    """Return the numbers of a slice one after the other, and how many each row has."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(column.type):
        column = pc.cast(column, column.type.value_type)
    if pa.types.is_fixed_size_list(column.type):
        column = pc.cast(column, pa.large_list(column.type.value_type))
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        column = _cut(texts(column))
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        if pa.types.is_nested(column.type.value_type):
            raise ValueError(f"its values are {column.type}, not numbers")
        lengths = pc.fill_null(pc.list_value_length(column), 0)
        return pc.list_flatten(column), lengths.to_numpy(False).astype(np.int64)
    lengths = column.is_valid().to_numpy(False).astype(np.int64)
    return column.drop_null(), lengths


def _cut(column: Any) -> Any:
    """Cut texts into lists of them, null where there is nothing."""
    import pyarrow as pa
    import pyarrow.compute as pc

    trimmed = pc.utf8_trim_whitespace(column)
    listed = pc.match_substring_regex(trimmed, _LIST)
    inner = pc.replace_substring_regex(trimmed, _LIST, r"\1")
    inner = pc.replace_substring_regex(inner, r"\s*,\s*", _CUT)
    joined = pc.replace_substring_regex(pc.if_else(listed, inner, trimmed), r"\s+", _CUT)
    blank = pc.equal(joined, "")
    return pc.split_pattern(pc.if_else(blank, pa.scalar(None, joined.type), joined), _CUT)


def _floats(flat: Any) -> tuple[NDArray[np.int64], list[Bad]]:
    """Return floats of 32 bits as numbers, and which of them are bad."""
    import pyarrow as pa
    import pyarrow.compute as pc

    shown = flat
    if pa.types.is_string(flat.type) or pa.types.is_large_string(flat.type):
        fits = pc.match_substring_regex(texts(flat), _FLOAT)
        flat = pc.replace_substring_regex(pc.if_else(fits, flat, "nan"), r"^\+", "")
    elif (
        pa.types.is_temporal(flat.type)
        or pa.types.is_boolean(flat.type)
        or pa.types.is_nested(flat.type)
    ):
        raise ValueError(f"its values are {flat.type}, not numbers")
    # Whole numbers too large for a float are rounded, as all are to 32 bits.
    values = pc.cast(flat, pa.float64(), safe=not pa.types.is_integer(flat.type))
    values = pc.fill_null(values, float("nan")).to_numpy(False)
    with np.errstate(over="ignore", invalid="ignore"):
        small = values.astype(np.float32)
    odd = ~np.isfinite(small)

    def describe(number: int) -> str:
        text = shown[number].as_py()
        if text is None or text == "":
            return "missing"
        if np.isfinite(values[number]):
            return f"{text}, too large for 32 bits"
        return f"{text!r}, not a finite number"

    return numbers_of(np.where(odd, np.float32(0), small)), [Bad(np.flatnonzero(odd), describe)]
