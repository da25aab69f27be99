"""A table that is put together on disk, batch by batch, while its rows are checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converter.table.cells.bad_rows import Bad, BadRows, Places
from converter.table.cells.columns import (
    LabelColumn,
    bad_paths,
    empty_paths,
    header_again,
    numbered,
    plain_text,
    texts,
)
from converter.table.cells.duplicates import (
    DifferingPaths,
    add_paths_in_two_splits,
    codes_of_labels,
    hashes_of,
)
from converter.table.cells.label_cells import LabelCells
from converter.table.cells.numbering import Numbering
from converter.table.cells.other_heads import OtherColumn
from converter.table.cells.splits import SplitColumn, SplitShares
from converter.table.paths.endings import Endings
from converter.table.paths.roots import Roots
from converter.table.paths.spelling import Spelling
from converter.table.reading import Reading
from converter.table.samples.hugging_face import ClassNames
from converter.table.scratch import Column, Scratch, Texts
from shardio.errors import TableError
from shardio.format.label import CLASS, LabelKind

_MISSING = "; --missing N makes empty labels and -1 the class N"


class TableBuilder:
    """Takes the batches of the table called `name`.

    `reading` says what is being looked at, for errors of Arrow. With a `numbering` the labels are
    texts that it numbers; `others` are label columns of other kinds. With the `spelling` it is told
    which paths are the same. `places` says where rows are in the files of the table. `with_images`
    says that the images are a column; then a path is but a name. With `unique` a path that has
    different labels is an error, else one of the `notes` that `finish` makes; only with `compares`
    is it looked for. Heads that have `class_names` have as many classes.
    """

    def __init__(
        self,
        name: str,
        scratch: Scratch,
        cells: LabelCells,
        others: Mapping[str, OtherColumn],
        columns: list[str],
        classes: int | None,
        numbering: Numbering | None,
        spelling: Spelling,
        *,
        places: Places,
        reading: Reading,
        with_images: bool = False,
        unique: bool = False,
        compares: bool = True,
        class_names: ClassNames | None = None,
    ) -> None:
        self.reading = name
        self.rows = 0
        self._name = self._file = name
        self._places = places
        self.notes: list[str] = []
        self.roots = Roots()
        self._with_images = with_images
        self._unique = unique
        self._scratch = scratch
        self._spelling = spelling
        self._cells = cells
        missing = None if numbering is not None else reading.missing_class
        counts = {} if class_names is None else {one: len(class_names[one]) for one in class_names}
        self._heads = {
            head: LabelColumn(counts.get(head, classes), missing) for head in cells.heads
        }
        self._missing = None if reading.missing is None else plain_text(reading.missing)
        self._any_missing = False
        self._numbering = numbering
        self._bad = BadRows()
        self._others = others
        # How many numbers a row has is known once there is one.
        self._labels: Column | None = None
        self._path, self._split = reading.path, reading.split
        has_paths, self._has_splits = self._path in columns, self._split in columns
        self._paths = scratch.texts() if has_paths else None
        has_labels = bool(cells.heads or others)
        self._compares_labels = compares and has_paths and has_labels and not with_images
        hashed = self._compares_labels or (has_paths and self._has_splits)
        self._hashes = scratch.column(np.uint64) if hashed else None
        self._endings = Endings() if hashed and reading.extension is None else None
        self._splits = SplitColumn(scratch, reading.split_names)

    def append(
        self,
        batch: Any,
        shares: SplitShares | None,
        seed: int,
        name: str,
        bad: Sequence[Bad] = (),
    ) -> None:
        """Add an Arrow batch of the file called `name`; `shares`, if any, deal its paths.

        Some rows of it are known to be `bad`.
        """
        self._file = self.reading = name
        self._add(bad)
        if self._paths is not None:
            paths = self._text_of(batch, self._path)
            self._add(
                empty_paths(paths) if self._with_images else bad_paths(paths, self._spelling.leaves)
            )
            if not self._with_images and len(batch.column_names) > 1:
                self._add(header_again(paths, self._path, batch))
            self._paths.append(paths)
            self.roots.add(paths, self.rows)
            if shares is not None or self._hashes is not None:
                paths = self._spelling.of_all(paths)
            if shares is not None:
                self._splits.append(*shares.deal(paths, seed))
            if self._hashes is not None:
                self._hashes.append(hashes_of(paths))
            if self._endings is not None:
                self._endings.add(paths)
        values = np.empty((batch.num_rows, len(self._heads)), dtype=np.int32)
        self.reading = f"the labels of {self._file}"
        for index, (head, part, wrong) in enumerate(self._cells.parts(batch)):
            self.reading = f"column {head} of {self._file}"
            if self._numbering is None:
                values[:, index], found = self._heads[head].labels(part)
            else:
                values[:, index], found = numbered(texts(part), self._numbering, self._missing)
            if head in self._cells.firsts:
                self._add(wrong)
            found = [one.without(wrong) for one in found]
            self._any_missing |= any(one.missing and len(one.rows) for one in found)
            self._add(found, head)
        numbers: list[NDArray[np.integer]] = [values]
        for column, reader in self._others.items():
            self.reading = f"column {column} of {self._file}"
            read, found = reader.numbers(batch.column(column))
            numbers.append(read)
            self._add(found, column)
        if batch.num_rows:
            self._labels = self._labels or self._label_numbers()
            self._labels.append(np.concatenate(numbers, axis=1))
        if self._has_splits:
            self._add(self._splits.append_column(self._text_of(batch, self._split)))
        self.rows += batch.num_rows
        self.reading = self._file

    def deal(self, images: Iterator[Any], shares: SplitShares, seed: int) -> None:
        """Deal the rows to splits by the images themselves, Arrow arrays of them."""
        self.reading = f"the images of {self._name}"
        for batch in images:
            self._splits.append(*shares.deal(batch, seed))

    @property
    def kinds(self) -> tuple[LabelKind, ...]:
        """What the labels of each head are, once there are rows."""
        others = (kind for column in self._others.values() for kind in column.kinds)
        return (*(CLASS for _ in self._heads), *others)

    def _label_numbers(self) -> Column:
        # The bits of a float take 32, and those of a class 31.
        wide = any(kind.is_float for kind in self.kinds)
        width = sum(kind.length for kind in self.kinds)
        return self._scratch.column(np.int64 if wide else np.int32, width)

    def finish(
        self,
    ) -> tuple[Texts | None, NDArray[np.int32], tuple[str, ...], NDArray[np.int32]]:
        """Return paths, labels, splits and the split of each row; TableError for bad rows."""
        if not self.rows:
            raise TableError(f"{self._name} has no rows")
        if self._endings is not None:
            self.notes += self._endings.notes()
        paths = None if self._paths is None else self._paths.finish()
        splits, split = self._splits.finish(self.rows)
        labels = (self._labels or self._label_numbers()).finish()
        if paths is not None and self._hashes is not None:
            hashes = self._hashes.finish()
            add_paths_in_two_splits(self._bad, paths, hashes, splits, split, self._spelling.of)
            if self._compares_labels and not self._bad:
                self._compare_labels(paths, hashes, labels)
        # One that is wrong is a slip; a column of them are texts.
        columns = self._heads.items()
        self._bad.refuse(
            self._name,
            self._places,
            texts={head for head, column in columns if not column.any_number},
            advice=self._cells.advice + (_MISSING if self._any_missing else ""),
        )
        return paths, labels, splits, split

    def _compare_labels(
        self, paths: Texts, hashes: NDArray[np.uint64], labels: NDArray[np.int32]
    ) -> None:
        """Find paths that have different labels in different rows."""
        found = DifferingPaths(paths, hashes, codes_of_labels(labels), self._spelling.of)
        if self._unique:
            found.add_to(
                self._bad,
                lambda path, _, earlier: f"path {path!r} has other labels than in row {earlier}",
            )
        elif (example := found.example()) is not None:
            path, first, second = example
            what = "path has" if len(found) == 1 else "paths have"
            self.notes.append(
                f"{len(found):,} {what} different labels in different rows, such as {path!r} in "
                f"rows {first} and {second}; --unique makes that an error"
            )

    def _text_of(self, batch: Any, column: str | None) -> Any:
        self.reading = f"column {column} of {self._file}"
        return texts(batch.column(column))

    def _add(self, found: Sequence[Bad], column: str = "") -> None:
        for bad in found:
            self._bad.add(bad, self.rows, column)
