"""Columns of a table, a slice at a time: texts, and labels that are numbers or texts."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converter.table.cells.bad_rows import Bad
from converter.table.cells.number_texts import is_numeric, whole_number
from converter.table.cells.numbering import Numbering
from converter.table.paths.locations import leaves
from shardio.format.label import MAX_LABEL

_SHOWN_LABEL = 40
# Whole numbers, with the zeros behind a point that pandas writes beside a missing value.
_WHOLE = r"^[+-]?[0-9]{1,18}(\.0*)?$"

_NONE = r"^\s*(-1(\.0*)?)?\s*$"

Numbers = tuple[NDArray[Any], list[Bad]]


@dataclass
class LabelColumn:
    """The labels of one head, checked slice by slice.

    `any_number` tells whether any of its values so far was a number, of whatever kind.
    """

    classes: int | None
    # The class of what is missing, and of -1.
    missing: int | None = None
    any_number: bool = False

    def labels(self, column: Any) -> tuple[NDArray[np.int64], list[Bad]]:
        """Return a slice as integers, zero where there is none, and what is bad about it."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if pa.types.is_dictionary(column.type):
            column = pc.cast(column, column.type.value_type)
        if self.missing is not None:
            column = _filled(column, self.missing)
        if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
            self.any_number = True
            numbers, bad = _from_numbers(column)
        elif pa.types.is_temporal(column.type):
            raise ValueError(f"its values are {column.type}, not integers")
        else:
            numbers, bad = self._from_texts(texts(column))
        limit = MAX_LABEL if self.classes is None else self.classes - 1
        range_ = f"0 to {limit}" + ("" if self.classes is None else f" ({self.classes} classes)")
        # Rows that are none have a zero here, which is always in range.
        outside = (numbers < 0) | (numbers > limit)
        for some, is_missing in ((numbers == -1, True), (numbers != -1, False)):
            rows = np.flatnonzero(outside & some)
            bad.append(
                Bad(rows, lambda row: f"{numbers[row]}, not in {range_}", missing=is_missing)
            )
        return np.where(outside, 0, numbers), bad

    def _from_texts(self, column: Any) -> Numbers:
        import pyarrow as pa
        import pyarrow.compute as pc

        # Nearly always there are but digits, which takes a third of the time to see.
        digits = pc.and_(pc.string_is_ascii(column), pc.utf8_is_decimal(column))
        if pc.all(pc.and_(digits, pc.less_equal(pc.binary_length(column), 18))).as_py():
            self.any_number = True
            return pc.cast(column, pa.int64()).to_numpy(), []
        trimmed = pc.utf8_trim_whitespace(column)
        fits = pc.match_substring_regex(trimmed, _WHOLE)
        plain = pc.replace_substring_regex(pc.if_else(fits, trimmed, "0"), r"^\+|\.0*$", "")
        numbers = pc.cast(plain, pa.int64()).to_numpy().copy()
        odd = ~fits.to_numpy(False)
        blank = pc.equal(trimmed, "").to_numpy(False)
        self.any_number |= not odd.all()
        rest = np.flatnonzero(odd & ~blank)
        if len(rest):
            encoded = trimmed.take(pa.array(rest)).dictionary_encode()
            words = encoded.dictionary.to_pylist()
            self.any_number = self.any_number or any(map(is_numeric, words))
            values = [whole_number(word) for word in words]
            known = np.array([value is not None for value in values])
            codes = encoded.indices.to_numpy(zero_copy_only=False)
            numbers[rest] = np.array([value or 0 for value in values], np.int64)[codes]
            rest = rest[~known[codes]]

        def describe(row: int) -> str:
            return f"{shown(column[row].as_py())!r}, not an integer"

        return numbers, [_bad(odd & blank, _missing, missing=True), Bad(rest, describe, wordy=True)]


def shown(text: str) -> str:
    """Return a text that is not too long for a message."""
    return text if len(text) <= _SHOWN_LABEL else text[: _SHOWN_LABEL - 3] + "..."


def _filled(column: Any, missing: int) -> Any:
    """Put a class in place of what is missing, and of -1."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        # The class may be too large for the numbers of the column.
        if pa.types.is_unsigned_integer(column.type):
            column = pc.cast(column, pa.uint64())
            none = pc.is_null(column)
        else:
            whole = pa.types.is_integer(column.type)
            column = pc.cast(column, pa.int64() if whole else pa.float64())
            minus = pc.fill_null(pc.equal(column, pa.scalar(-1, column.type)), False)
            none = pc.or_(pc.is_null(column, nan_is_null=True), minus)
        return pc.if_else(none, pa.scalar(missing, column.type), column)
    if pa.types.is_null(column.type):
        return pa.repeat(missing, len(column))
    column = texts(column)
    return pc.if_else(pc.match_substring_regex(column, _NONE), str(missing), column)


def _from_numbers(column: Any) -> Numbers:
    """Whole numbers pass, also written as floating point (pandas does, beside a missing value)."""
    import pyarrow as pa

    bad = [_bad(column.is_null().to_numpy(False), _missing, missing=True)]
    values = column.fill_null(0).to_numpy(False)
    if pa.types.is_floating(column.type):
        floats = values.astype(np.float64)
        with np.errstate(invalid="ignore"):
            odd = ~np.isfinite(floats) | (floats != np.floor(floats)) | (np.abs(floats) > 2**52)
        bad.append(_bad(odd, lambda row: f"{floats[row]}, not an integer"))
        values = np.where(odd, 0, floats)
    elif values.dtype == np.uint64:
        found = values
        large = found > np.uint64(2**63 - 1)
        bad.append(_bad(large, lambda row: f"{found[row]}, too large"))
        values = np.where(large, np.uint64(0), found)
    return values.astype(np.int64), bad


def numbered(
    column: Any, numbering: Numbering, missing: str | None = None
) -> tuple[NDArray[np.int32], list[Bad]]:
    """Return the numbers of a slice of texts, and the rows without one.

    A text that is empty is the `missing` one, if there is such.
    """
    import pyarrow.compute as pc

    if missing is not None:
        column = pc.if_else(pc.equal(column, ""), missing, column)

    def describe(row: int) -> str:
        text = column[row].as_py()
        return f"{shown(text)!r}, not in the vocabulary" if text else "missing"

    numbers = numbering.of_column(column)
    empty = pc.equal(column, "").to_numpy(False)
    return np.maximum(numbers, 0), [_bad((numbers < 0) | empty, describe)]


def texts(column: Any) -> Any:
    """Return a column as an array of strings; null becomes the empty text, and so does NaN.

    Raises ValueError for what is no text, and for floats that may stand for several whole numbers:
    so come long ids out of JSON, and would become one text.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_nested(column.type):
        raise ValueError(f"its values are {column.type}, not texts or numbers")
    if pa.types.is_dictionary(column.type):
        column = pc.cast(column, column.type.value_type)
    if pa.types.is_floating(column.type):
        column = _texts_of_floats(column)
    column = pc.cast(column, pa.large_string())
    column.validate(full=True)  # JSON is read without a look at its UTF-8
    return pc.fill_null(column, "") if column.null_count else column


def _texts_of_floats(column: Any) -> Any:
    """Return floats as texts, whole numbers as those of integers, null for NaN."""
    import pyarrow as pa
    import pyarrow.compute as pc

    values = column.fill_null(0).to_numpy(False)
    inexact = np.abs(values) >= 2.0 ** (np.finfo(values.dtype).nmant + 1)
    if inexact.any():
        example = float(values[inexact][0])
        raise ValueError(
            f"it has floats such as {example:g}, which have lost digits; write them as texts"
        )
    absent = np.isnan(values) | column.is_null().to_numpy(False)
    values = np.where(absent, 0, values)
    whole = values == np.floor(values)
    integers = pa.array(np.where(whole, values, 0).astype(np.int64), mask=absent)
    return pc.if_else(
        pa.array(whole), pc.cast(integers, pa.large_string()), pc.cast(column, pa.large_string())
    )


def plain(column: Any) -> Any:
    """Return texts without white space around them, and in NFC."""
    import pyarrow.compute as pc

    return pc.utf8_normalize(pc.utf8_trim_whitespace(column), "NFC")


def plain_text(text: str) -> str:
    """Return one text as `plain` makes it."""
    return unicodedata.normalize("NFC", text.strip())


def empty_paths(paths: Any) -> list[Bad]:
    """Find paths that are empty."""
    import pyarrow.compute as pc

    return [_bad(pc.equal(paths, "").to_numpy(False), lambda row: "path is empty")]


def header_again(paths: Any, name: str, batch: Any) -> list[Bad]:
    """Find rows whose cells are the names of their columns: of files that were joined as texts.

    Their label would be a class more.
    """
    import pyarrow.compute as pc

    alike = pc.equal(pc.utf8_trim(paths, '\ufeff \t"'), name).to_numpy(False)
    names = [column for column in batch.column_names if column != name]
    rows = [
        row
        for row in np.flatnonzero(alike).tolist()
        if all(str(batch.column(one)[row].as_py()).strip() == one for one in names)
    ]
    return [
        Bad(
            np.array(rows, np.int64),
            lambda row: "the header comes again; leave it out, or give joined files one by one",
        )
    ]


def bad_paths(paths: Any, leaves_root: Callable[[str], bool] = leaves) -> list[Bad]:
    """Find paths that are empty, that no file can have, or that leave the root."""
    import pyarrow.compute as pc

    def holding(text: str) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = pc.match_substring(paths, text).to_numpy(False)
        return found

    # Only what holds two dots can go up; the rest of the check is too slow for every row.
    above = [
        row for row in np.flatnonzero(holding("..")).tolist() if leaves_root(paths[row].as_py())
    ]
    return [
        *empty_paths(paths),
        _bad(holding("\0"), lambda row: f"path {paths[row].as_py()!r} has a null byte"),
        Bad(
            np.array(above, dtype=np.int64),
            lambda row: (
                f"path {paths[row].as_py()!r} leaves the root folder; --root names one above it"
            ),
        ),
    ]


def _bad(rows: NDArray[np.bool_], describe: Callable[[int], str], *, missing: bool = False) -> Bad:
    return Bad(np.flatnonzero(rows), describe, missing=missing)


def _missing(row: int) -> str:
    return "missing"
