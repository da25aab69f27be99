"""Boxes that a table gives for its images: four columns, and what they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converter.table.cells.bad_rows import Bad
from converter.table.cells.box_columns import short_name
from converter.table.cells.columns import texts
from shardio.errors import OptionError, TableError
from shardio.format.transform import MAX_SIDE, Transform

CORNERS, SIDES = ("l", "t", "r", "b"), ("x", "y", "w", "h")
# What third and fourth columns of boxes are called.
_ENDS = {
    *(("xmax", "ymax"), ("maxx", "maxy"), ("x1", "y1"), ("x2", "y2"), ("xbr", "ybr")),
    *(("endx", "endy"), ("right", "bottom"), ("r", "b")),
}
_SIDES = {("w", "h"), ("width", "height")}
_CENTRES = {("cx", "cy"), ("xc", "yc"), ("xcenter", "ycenter"), ("xcentre", "ycentre")}
_LARGEST = 1_000_000_000
_NUMBER = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?$"


@dataclass(frozen=True)
class CropColumns:
    """The columns of the boxes: left, top, right and bottom or, as `sides`, width and height."""

    names: tuple[str, ...]
    sides: bool

    @classmethod
    def parse(cls, text: str) -> CropColumns:
        """Read four names between commas; OptionError where they do not say what they are.

        `l=a,t=b,r=c,b=d` and `x=a,y=b,w=c,h=d` say it of any columns.
        """
        parts = [part.strip() for part in text.split(",")]
        names = [part.rpartition("=")[2].strip() for part in parts]
        keys = tuple(part.rpartition("=")[0].strip() for part in parts)
        if len({*names}) != 4 or len(names) != 4 or "" in names:
            raise OptionError(f"a box needs four columns, like xmin,ymin,xmax,ymax, not {text!r}")
        if any(keys):
            if keys not in (CORNERS, SIDES):
                raise OptionError(f"boxes are l=,t=,r=,b= or x=,y=,w=,h=, not {text!r}")
            return cls(tuple(names), keys == SIDES)
        short = [short_name(name) for name in names]
        if (short[0], short[1]) in _CENTRES:
            raise OptionError(
                f"{text} has the centres of boxes, which are not read; make columns of the corners"
            )
        end = short[2], short[3]
        if end not in _ENDS and end not in _SIDES:
            raise OptionError(
                f"{names[2]} and {names[3]} may be right and bottom, or width and height: write "
                f"l={names[0]},t={names[1]},r={names[2]},b={names[3]} or "
                f"x={names[0]},y={names[1]},w={names[2]},h={names[3]}"
            )
        return cls(tuple(names), end in _SIDES)

    @classmethod
    def of(cls, transform: Transform) -> CropColumns | None:
        """Return the columns that a transform names, if it does."""
        said = transform.crop_columns
        return None if said is None else cls.parse(",".join(said))

    @property
    def said(self) -> tuple[str, ...]:
        """The columns, each with what it is, as a manifest has them."""
        keys = SIDES if self.sides else CORNERS
        return tuple(f"{key}={name}" for key, name in zip(keys, self.names, strict=True))

    def check(self, name: str, present: list[str]) -> None:
        """Raise TableError where the table called `name` lacks one of the columns."""
        missing = [column for column in self.names if column not in present]
        if missing:
            has = ", ".join(present) or "none"
            raise TableError(f"{name} has no column {', '.join(missing)}; it has {has}")

    def boxes(self, batch: Any) -> tuple[NDArray[np.int32], list[Bad]]:
        """Return left, top, right and bottom of each row, rounded as Pillow's crop does it.

        Rows that are bad have the box 0,0,1,1: also those whose box is all fractions of 1, which
        are shares of the image, and would be a box of one pixel.
        """
        numbers = np.stack([_numbers(batch.column(name)) for name in self.names], axis=1)
        with np.errstate(invalid="ignore"):
            is_number = np.array((np.abs(numbers) <= _LARGEST).all(axis=1))
        read = np.where(is_number[:, None], numbers, 0.0)
        shares = ((read >= 0) & (read <= 1)).all(axis=1) & (read != np.floor(read)).any(axis=1)
        if self.sides:
            read[:, 2:] += read[:, :2]
        corners = np.rint(read).astype(np.int64)
        sides = corners[:, 2:] - corners[:, :2]
        fits = np.array(((sides >= 1) & (sides <= MAX_SIDE)).all(axis=1))

        def shown(row: int) -> str:
            return ", ".join(f"{name} {batch.column(name)[row].as_py()!r}" for name in self.names)

        bad = [
            Bad(np.flatnonzero(~is_number), lambda row: f"the box is no numbers: {shown(row)}"),
            Bad(
                np.flatnonzero(shares),
                lambda row: f"the box is in shares of the image, not in pixels: {shown(row)}",
            ),
            Bad(
                np.flatnonzero(is_number & ~shares & ~fits),
                lambda row: f"the box is empty, or larger than {MAX_SIDE} a side: {shown(row)}",
            ),
        ]
        corners[shares | ~(is_number & fits)] = 0, 0, 1, 1
        return corners.astype(np.int32), bad


def _numbers(column: Any) -> NDArray[np.float64]:
    """Return a column as numbers; what is none becomes NaN."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(column.type):
        column = pc.cast(column, column.type.value_type)
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        return np.asarray(pc.cast(column, pa.float64()).to_numpy(zero_copy_only=False))
    trimmed = pc.utf8_trim_whitespace(texts(column))
    fits = pc.match_substring_regex(trimmed, _NUMBER)
    plain = pc.if_else(fits, pc.replace_substring_regex(trimmed, r"^\+", ""), "nan")
    return np.asarray(pc.cast(plain, pa.float64()).to_numpy(zero_copy_only=False))
