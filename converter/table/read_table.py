"""The input table, read batch by batch and checked before any image is opened."""

from __future__ import annotations

import re
from collections.abc import Sequence

from converter.table.arrow_errors import explain
from converter.table.box_columns import box_columns
from converter.table.builder import TableBuilder
from converter.table.files import BLOCK, open_file
from converter.table.image_column import ImageColumn
from converter.table.inputs import digest_of_all, find_inputs, folder_of_all, name_of_all
from converter.table.joined import JoinedTable
from converter.table.numbering import Numbering
from converter.table.reading import PATH, SPLIT, Reading
from converter.table.scratch import Scratch, recoded
from converter.table.spelling import Spelling
from converter.table.splits import SplitShares
from converter.table.table import Table
from shardio.errors import MissingExtraError, ShardioError, TableError

_LABEL = re.compile(r"y(0|[1-9][0-9]*)")


def read_table(
    given: str | Sequence[str],
    *,
    labels: tuple[str, ...] | None,
    classes: int | None,
    root: str | None = None,
    text_labels: bool = False,
    vocabulary: tuple[str, ...] | None = None,
    shares: SplitShares | None = None,
    seed: int = 0,
    image_column: str | None = None,
    unique: bool = False,
    reading: Reading | None = None,
    block: int = BLOCK,
) -> Table:
    """Read and check a table: a file, or several files, globs and folders of them that are one.

    The kind of a file is told by its ending, and the rest by what is in it or by `reading`.
    Relative paths are below `root`, by default the table's folder. With `text_labels` the labels
    are texts, of `vocabulary` or of one that is built. Splits are those of the column, or `shares`
    of the paths, dealt with `seed`. The images may be in the `image_column` of Parquet files, which
    then need no paths; without them, images are dealt by their bytes. With `unique` a path must
    have the same labels in all its rows. CSV and JSON are parsed in blocks of `block` bytes. Raises
    TableError, which lists the bad rows with file, line, number and value.
    """
    try:
        import pyarrow as pa
    except ImportError as error:
        raise MissingExtraError(
            "reading tables needs pyarrow: it comes with shardio's extra [convert]"
        ) from error
    given = [given] if isinstance(given, str) else list(given)
    reading = reading or Reading()
    builder: TableBuilder | None = None
    table: JoinedTable | None = None
    with Scratch() as scratch:
        inputs = find_inputs(given, scratch)
        name = now = name_of_all(inputs)
        digest = digest_of_all(inputs)
        below = root or folder_of_all(given, inputs)
        try:
            files = []
            for file in inputs:
                now = file.name
                files.append(open_file(file, reading, block))
            table = JoinedTable(files)
            images = None if image_column is None else ImageColumn.find(inputs, image_column)
            heads = _heads(table, labels, image_column)
            columns = [*heads, *(column for column in (PATH, SPLIT) if column in table.names)]
            if shares is not None and SPLIT in table.names:
                raise TableError(f"{name} has a column {SPLIT} already; give no shares of splits")
            numbering = Numbering(vocabulary) if text_labels and heads else None
            builder = TableBuilder(
                name,
                scratch,
                heads,
                columns,
                classes,
                numbering,
                Spelling(below),
                places=table.places,
                with_images=images is not None,
                unique=unique,
            )
            for batch in table.batches(columns):
                builder.append(batch, shares, seed, table.reading)
            if images is not None and shares is not None and PATH not in columns:
                builder.deal(images.batches(), shares, seed)
            paths, values, splits, split = builder.finish()
            if numbering is not None and vocabulary is None:
                vocabulary, places = numbering.in_order()
                values = recoded(scratch, values, places)
        except ShardioError:
            raise
        # Arrow raises its own errors, OSError for damaged Parquet and UnicodeDecodeError for JSON.
        except (pa.ArrowException, OSError, ValueError) as error:
            now = now if table is None else table.reading if builder is None else builder.reading
            raise TableError(f"{now} cannot be read: {explain(error)}") from error
    words = None if numbering is None else vocabulary
    notes = (*table.notes(), *builder.notes, *_unused_boxes(table.names, heads))
    # Images that are a column are on the storage of the table.
    examples = () if images is not None else builder.roots.examples
    return Table(
        name,
        digest,
        below,
        heads,
        values,
        splits,
        split,
        paths,
        words,
        images,
        table.found(),
        notes,
        examples,
    )


def _unused_boxes(present: list[str], heads: tuple[str, ...]) -> list[str]:
    unused = [column for column in box_columns(present) if column not in heads]
    if not unused:
        return []
    return [
        f"columns that look like boxes and are not used: {', '.join(unused)}; each row becomes its "
        "whole image, or what --crop cuts out"
    ]


def _heads(
    table: JoinedTable, asked: tuple[str, ...] | None, image_column: str | None
) -> tuple[str, ...]:
    """Choose the label columns, in the order asked for, or by number."""
    name, present = table.name, table.names
    has = f"it has {', '.join(present) or 'none'}"
    if PATH not in present and image_column is None:
        raise TableError(f"{name} has no column {PATH}; {has}{table.missing_hint}")
    if asked is None:
        heads = numbered_columns(present, image_column)
        if not heads:
            raise TableError(
                f"{name} has no label columns y0, y1, ...; {has}. "
                "Name them with --labels a,b,c (or --labels '' for images without labels)"
            )
        boxes = box_columns(present)
        if not {*boxes}.isdisjoint(heads):
            raise TableError(
                f"{name}: the columns {', '.join(boxes)} look like a box, and some of them like "
                "labels; name the label columns with --labels a,b,c"
            )
        table.check_same("label columns", lambda names: numbered_columns(names, image_column))
    else:
        heads = asked
    table.check_same("splits", lambda names: tuple(name for name in names if name == SPLIT))
    needed = heads if image_column is not None else (PATH, *heads)
    missing = [column for column in needed if column not in present]
    if missing:
        hint = table.missing_hint
        raise TableError(f"{name} has no column {', '.join(missing)}; {has}{hint}")
    twice = sorted({column for column in present if present.count(column) > 1})
    bad = [column for column in twice if column in (PATH, SPLIT, *heads)]
    if bad:
        raise TableError(f"{name} has the column {', '.join(bad)} more than once")
    return heads


def numbered_columns(names: Sequence[str], image_column: str | None) -> tuple[str, ...]:
    """Return the columns called y and a number, sorted by that."""
    found = [name for name in names if _LABEL.fullmatch(name) and name != image_column]
    return tuple(sorted(found, key=lambda column: (int(column[1:]), column)))
