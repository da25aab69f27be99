"""The input table, read batch by batch and checked before any image is opened."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np

from converter.table.builder import TableBuilder
from converter.table.cells.bad_rows import Bad
from converter.table.cells.columns import texts
from converter.table.cells.crop_boxes import CropColumns
from converter.table.cells.label_cells import LabelCells
from converter.table.cells.name_pattern import NamePattern
from converter.table.cells.numbering import Numbering
from converter.table.cells.other_heads import OtherHeads, characters_of, ids_among
from converter.table.cells.sequence_column import ids_of
from converter.table.cells.splits import SplitShares
from converter.table.cells.table_notes import (
    texts_of_one_length,
    unseen_characters,
    unused_boxes,
    unused_splits,
)
from converter.table.files import BLOCK, open_file
from converter.table.heads import choose_heads
from converter.table.image_column import ImageColumn, ImageSource
from converter.table.inputs import (
    all_names,
    digest_of_all,
    find_inputs,
    name_of_all,
)
from converter.table.joined import JoinedTable
from converter.table.paths.kinds import SAMPLES, Kind
from converter.table.paths.spelling import Spelling
from converter.table.reading import Reading
from converter.table.samples.hugging_face import ClassNames, with_texts
from converter.table.scratch import Scratch, recoded
from converter.table.table import Table
from converter.table.table_folder import folder_below, folder_of_all
from converter.table.text.arrow_errors import explain
from shardio.errors import MissingExtraError, OptionError, ShardioError, TableError


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
    others: OtherHeads | None = None,
    reading: Reading | None = None,
    crop: CropColumns | None = None,
    block: int = BLOCK,
) -> Table:
    """Read and check a table: a file, or several files, globs and folders of them that are one.

    The kind of a file is told by its ending, and the rest by what is in it or by `reading`.
    Relative paths are below `root`, by default the table's folder. With `text_labels` the labels
    are texts, of `vocabulary` or of one that is built. Splits are those of the column, or `shares`
    of the paths, dealt with `seed`. The images may be in the `image_column` of Parquet files, which
    then need no paths; without them, images are dealt by their bytes. With `unique` a path must
    have the same labels in all its rows. `others` are labels too, of other kinds. `crop`
    are columns of boxes, which make of each row an image of its own. CSV and JSON are
    parsed in blocks of `block` bytes. Raises TableError, which lists the bad rows with file, line,
    number and value.
    """
    try:
        import pyarrow as pa
    except ImportError as error:
        raise MissingExtraError(
            "reading tables needs pyarrow: it comes with shardio's extra [convert]"
        ) from error
    if unique and crop is not None:
        raise OptionError("--unique compares paths; with --crop-columns one may have many boxes")
    given = [given] if isinstance(given, str) else list(given)
    reading = reading or Reading()
    builder: TableBuilder | None = None
    table: JoinedTable | None = None
    with Scratch() as scratch:
        given = all_names(given)
        inputs = find_inputs(given, scratch)
        name = now = name_of_all(inputs)
        below = root or folder_of_all(given, inputs)
        folder = None if root is None else folder_below(given, root)
        try:
            files = []
            for file in inputs:
                now = file.name
                opened = open_file(
                    file, reading, scratch, root=below, image_column=image_column, block=block
                )
                files.append(opened)
            now = name
            digest = digest_of_all(inputs, files)
            table = JoinedTable(files)
            images: ImageSource | None = table.copied_images
            table.check_path(reading.path, image_column)
            if image_column is None and reading.path_column is None:
                image_column = table.image_column
            if image_column is not None and inputs[0].kind not in SAMPLES:
                images = ImageColumn.find(inputs, image_column)
                if unique:
                    raise OptionError("--unique compares paths; images in a column have none")
            pattern = None if reading.name_pattern is None else NamePattern(reading.name_pattern)
            present = _present(table, pattern)
            others = others or OtherHeads()
            boxed = () if crop is None else crop.names
            if crop is not None:
                crop.check(name, present)
            free = [one for one in present if labels is not None or one not in boxed]
            heads = choose_heads(table, free, labels, others.columns, image_column, reading)
            apart = tuple(column for column in others.columns if column in heads)
            heads = tuple(column for column in heads if column not in apart)
            if reading.missing is not None:
                others.check_missing(apart, heads)
            columns = [*heads, *apart]
            columns += [one for one in (reading.path, reading.split) if one in present]
            columns += [one for one in boxed if one not in columns]
            boxes = scratch.column(np.int32, 4)
            if shares is not None and reading.split in present:
                raise TableError(
                    f"{name} has a column {reading.split} already; give no shares of splits"
                )
            numbering = Numbering(vocabulary) if text_labels and heads else None
            names = table.class_names(heads)
            if names and classes is not None:
                raise TableError(
                    f"{name} has names of the classes of {', '.join(names)}; leave out --classes"
                )
            batches = _with_names(
                table, columns, reading.path, pattern, names if text_labels else {}
            )
            first = next(batches, None)
            cells = LabelCells(
                None if first is None else first[0],
                heads,
                reading.characters,
                are_texts=text_labels,
            )
            # Class 0 of another dataset's sequences is the empty text.
            letters = () if text_labels else vocabulary or ()
            characters = tuple(filter(None, letters)) or None
            readers = {column: others.reader(column, classes, characters) for column in apart}
            builder = TableBuilder(
                name,
                scratch,
                cells,
                readers,
                columns,
                classes,
                numbering,
                Spelling(below, folder, reading.extension),
                places=table.places,
                reading=reading,
                with_images=images is not None,
                unique=unique,
                compares=crop is None,
                class_names=names,
            )
            for batch, bad in chain([] if first is None else [first], batches):
                if crop is not None:
                    found, wrong = crop.boxes(batch)
                    boxes.append(found)
                    bad = [*bad, *wrong]
                builder.append(batch, shares, seed, table.reading, bad)
            if images is not None and shares is not None and reading.path not in columns:
                builder.deal(images.batches(), shares, seed)
            paths, values, splits, split = builder.finish()
            found_boxes = None if crop is None else boxes.finish()
            if numbering is not None and vocabulary is None:
                vocabulary, places = numbering.in_order()
                texts_only = np.arange(values.shape[1]) < len(cells.heads)
                values = recoded(scratch, values, places, texts_only)
            if characters is None and (characters := characters_of(readers)) is not None:
                ids_only = ids_among(len(cells.heads), readers)
                values = recoded(scratch, values, ids_of(characters), ids_only)
        except ShardioError:
            raise
        # Arrow raises its own errors, OSError for damaged Parquet and UnicodeDecodeError for JSON.
        except (pa.ArrowException, OSError, ValueError) as error:
            now = now if table is None else table.reading if builder is None else builder.reading
            is_text = inputs[0].kind in (Kind.DELIMITED, Kind.JSON)
            raise TableError(f"{now} cannot be read: {explain(error, is_text)}") from error
    words = None if numbering is None else vocabulary
    if words is not None and len(heads) == len(cells.heads) == 1:
        builder.notes += texts_of_one_length(heads[0], words, len(values))
    notes = (
        *table.notes(),
        *cells.notes(),
        *builder.notes,
        *unseen_characters([*(words or ()), *(characters or ())]),
        *unused_boxes(table.names, (*heads, *apart, *boxed)),
        *([] if image_column else table.other_images(reading.path)),
    )
    if shares is None and reading.split_column is None and reading.split not in present:
        notes = (*notes, *unused_splits(table.names, (*heads, *apart)))
    # Images that are in the table are on its storage.
    examples = () if images or table.places_of_images else builder.roots.examples
    return Table(
        name,
        digest,
        below,
        (*cells.heads, *others.heads_of(apart)),
        builder.kinds,
        values,
        splits,
        split,
        paths,
        words,
        images,
        folder,
        reading.extension,
        table.found() + (f", images in {images.column}" if isinstance(images, ImageColumn) else ""),
        notes,
        examples,
        table.places_of_images,
        others.sequences,
        characters,
        found_boxes,
        {} if text_labels else names,
    )


def _present(table: JoinedTable, pattern: NamePattern | None) -> list[str]:
    """Return the names of all columns, those from the names of images too."""
    if pattern is None:
        return table.names
    for name in pattern.names:
        if name in table.names:
            raise TableError(
                f"{table.name} has a column {name} already; give the group of --name-pattern "
                "another name"
            )
    return [*table.names, *pattern.names]


def _with_names(
    table: JoinedTable,
    columns: Sequence[str],
    path: str,
    pattern: NamePattern | None,
    class_names: ClassNames,
) -> Iterator[tuple[Any, list[Bad]]]:
    """Yield batches of columns of the table and of those from the names of images, and bad rows.

    What has `class_names` has them in place of numbers.
    """
    made = () if pattern is None else pattern.names
    for batch in table.batches([column for column in columns if column not in made]):
        batch, unnamed = with_texts(batch, class_names)
        bad = [Bad(*one) for one in unnamed]
        if pattern is None:
            yield batch, bad
            continue
        found, more = pattern.columns(texts(batch.column(path)))
        for column in columns:
            if column in found:
                batch = batch.append_column(column, found[column])
        yield batch, [*bad, *more]
