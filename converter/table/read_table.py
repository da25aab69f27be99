"""The input table, read batch by batch and checked before any image is opened."""

from __future__ import annotations

import hashlib
import re

from converter.table.box_columns import box_columns
from converter.table.builder import TableBuilder
from converter.table.files import BLOCK, explain, open_table
from converter.table.image_column import ImageColumn
from converter.table.numbering import Numbering
from converter.table.scratch import Scratch, recoded
from converter.table.spelling import Spelling
from converter.table.splits import SplitShares
from converter.table.table import PATH, SPLIT, Table
from shardio.errors import MissingExtraError, ShardioError, TableError
from shardio.storage import storage_for

_LABEL = re.compile(r"y(\d+)")
_READ_BYTES = 1 << 22


def read_table(
    name: str,
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
    block: int = BLOCK,
) -> Table:
    """Read and check a table.

    The kind is told by the ending: .csv, .tsv, .jsonl (also .ndjson, .json) or .parquet. Relative
    paths are below `root`, by default the table's folder. With `text_labels` the labels are texts,
    of `vocabulary` or of one that is built. Splits are those of the column, or `shares` of the
    paths, dealt with `seed`. The images may be in the `image_column` of a Parquet table, which
    then needs no paths; without them, images are dealt by their bytes. With `unique` a path must
    have the same labels in all its rows. CSV and JSON are parsed in blocks of `block` bytes. Raises
    TableError, which lists the bad rows with number and value.
    """
    try:
        import pyarrow as pa
    except ImportError as error:
        raise MissingExtraError(
            "reading tables needs pyarrow: it comes with shardio's extra [convert]"
        ) from error
    digest = _digest(name)
    below = root or name[: name.rfind("/") + 1] or "."
    builder: TableBuilder | None = None
    try:
        file = open_table(name, block)
        images = None if image_column is None else ImageColumn.find(name, image_column)
        heads = _heads(name, file.names, labels, image_column)
        columns = [*heads, *(column for column in (PATH, SPLIT) if column in file.names)]
        if shares is not None and SPLIT in file.names:
            raise TableError(f"{name} has a column {SPLIT} already; give no shares of splits")
        numbering = Numbering(vocabulary) if text_labels and heads else None
        with Scratch() as scratch:
            spelling = Spelling(below)
            builder = TableBuilder(
                name,
                scratch,
                heads,
                columns,
                classes,
                numbering,
                spelling,
                with_images=images is not None,
                unique=unique,
            )
            for batch in file.batches(columns):
                builder.append(batch, shares, seed)
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
        reading = name if builder is None else builder.reading
        raise TableError(f"{reading} cannot be read: {explain(error)}") from error
    words = None if numbering is None else vocabulary
    notes = (*file.notes(), *builder.notes, *_unused_boxes(file.names, heads))
    # Images that are a column are on the storage of the table.
    examples = () if images is not None else builder.roots.examples
    return Table(
        name, digest, below, heads, values, splits, split, paths, words, images, notes, examples
    )


def _digest(name: str) -> str:
    """SHA-256 of the table's file."""
    digest = hashlib.sha256()
    with storage_for(name).open_stream(name) as stream:
        while block := stream.read(_READ_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _unused_boxes(present: list[str], heads: tuple[str, ...]) -> list[str]:
    unused = [column for column in box_columns(present) if column not in heads]
    if not unused:
        return []
    return [
        f"columns that look like boxes and are not used: {', '.join(unused)}; each row becomes its "
        "whole image, or what --crop cuts out"
    ]


def _heads(
    name: str, present: list[str], asked: tuple[str, ...] | None, image_column: str | None
) -> tuple[str, ...]:
    """Choose the label columns, in the order asked for, or by number."""
    twice = sorted({column for column in present if present.count(column) > 1})
    has = f"it has {', '.join(present) or 'none'}"
    if asked is None:
        found = [name for name in present if _LABEL.fullmatch(name) and name != image_column]
        heads = tuple(sorted(found, key=lambda column: (int(column[1:]), column)))
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
    else:
        heads = asked
    needed = heads if image_column is not None else (PATH, *heads)
    missing = [column for column in needed if column not in present]
    if missing:
        text = name.lower().endswith(("csv", "tsv"))
        hint = " (the first line must be the header)" if text else ""
        raise TableError(f"{name} has no column {', '.join(missing)}; {has}{hint}")
    bad = [column for column in twice if column in (PATH, SPLIT, *heads)]
    if bad:
        raise TableError(f"{name} has the column {', '.join(bad)} more than once")
    return heads
