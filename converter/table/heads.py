"""Which columns of a table are its labels, and what is missing or there twice."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence, Set

from converter.table.cells.box_columns import box_columns
from converter.table.joined import JoinedTable
from converter.table.reading import Reading
from shardio.errors import TableError

# Other names of a column of paths, without all but letters.
_PATHS = (
    *("path", "filename", "filepath", "file", "imagepath", "imagefile", "imagename"),
    *("image", "img", "imgpath", "id"),
)
_LABEL = re.compile(r"y[0-9]+")
_SHOWN = 3


def choose_heads(
    table: JoinedTable,
    present: list[str],
    asked: tuple[str, ...] | None,
    others: tuple[str, ...],
    image_column: str | None,
    reading: Reading,
) -> tuple[str, ...]:
    """Choose the label columns, in the order asked for, or by number; `others` come at the end.

    Raises TableError where a column is missing, is there twice, or cannot be a label.
    """
    name, path, split = table.name, reading.path, reading.split
    has = f"it has {', '.join(present) or 'none'}"
    no_heads = asked is None and reading.characters is None and not others
    no_heads = no_heads and not numbered_columns(present, image_column)
    if path not in present and (image_column is None or reading.path_column is not None):
        likely = _path_among(present)
        also = ""
        if no_heads:
            # A first line that is no header names no columns.
            known = {likely, split, *table.columns_of_images}
            hint = _label_hint(table, present, known) if likely or not table.hint else ""
            also = f". It has no label columns (y0, y1, ...) either{hint}"
        raise TableError(f"{name} has no column {path}; {has}{_path_hint(likely, table)}{also}")
    if reading.split_column and split not in present:
        raise TableError(f"{name} has no column {split}; {has}{table.hint}")
    heads: tuple[str, ...]
    if asked is None and reading.characters is not None:
        heads = (reading.characters,)
    elif asked is None:
        heads = numbered_columns(present, image_column)
        if no_heads:
            hint = _label_hint(table, present, {path, split, *table.columns_of_images})
            raise TableError(f"{name} has no label columns (y0, y1, ...); {has}{hint}")
        if len({int(column[1:]) for column in heads}) < len({*heads}):
            raise TableError(
                f"{name} has label columns of one number ({', '.join(heads)}); name those that are "
                "meant with --labels"
            )
        boxes = box_columns(present)
        if not {*boxes}.isdisjoint({*heads} - {*others}):
            raise TableError(
                f"{name}: the columns {', '.join(boxes)} look like a box, and some of them like "
                "labels; name the label columns with --labels a,b,c"
            )
        table.check_same("label columns", lambda names: numbered_columns(names, image_column))
    else:
        heads = asked
    heads = (*heads, *(column for column in others if column not in heads))
    table.check_same("splits", lambda names: tuple(name for name in names if name == split))
    missing = [column for column in heads if column not in present]
    if missing:
        raise TableError(f"{name} has no column {', '.join(missing)}; {has}{table.hint}")
    wrong = [column for column in heads if column in (path, split)]
    if wrong:
        raise TableError(f"{name}: the column {', '.join(wrong)} cannot be a label")
    bad = [
        column
        for column in {path, *heads, *([split] if split else [])}
        if present.count(column) > 1
    ]
    if bad:
        raise TableError(f"{name} has the column {', '.join(sorted(bad))} more than once")
    return heads


def _path_among(present: Sequence[str]) -> str | None:
    """Return the column that most likely has the paths, if there is one."""
    plain = {re.sub(r"[^a-z]", "", name.lower()): name for name in present}
    return next((plain[name] for name in _PATHS if name in plain), None)


def _label_hint(table: JoinedTable, present: Sequence[str], known: Set[str | None]) -> str:
    """Say how labels are named: by the columns that are there, but for those that are `known`."""
    if table.label_hint:
        return table.label_hint
    rest = [column for column in present if column and column not in known]
    if not rest:
        return ". --labels '' is for images without labels"
    first = shlex.quote(rest[0])
    several = ", or several, such as " + shlex.quote(",".join(rest[:_SHOWN]))
    return (
        f". --labels {first} takes that one{several if len(rest) > 1 else ''} (with --text-labels, "
        f"if they are texts, or --characters {first} for a label of each character); --labels '' "
        "is for images without labels"
    )


def _path_hint(found: str | None, table: JoinedTable) -> str:
    if found is None:
        return table.hint
    if re.fullmatch("image|img", found, re.IGNORECASE):
        return f"; --path-column {found} takes its paths, --image-column {found} the images in it"
    return f"; --path-column {found} takes that one"


def numbered_columns(names: Sequence[str], image_column: str | None) -> tuple[str, ...]:
    """Return the columns called y and a number, sorted by that."""
    found = [name for name in names if _LABEL.fullmatch(name) and name != image_column]
    return tuple(sorted(found, key=lambda column: (int(column[1:]), column)))
