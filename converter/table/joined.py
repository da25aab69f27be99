"""Several files that are one table: the rows of all of them, one after the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from converter.table.reading import PATH
from converter.table.samples.places import ImagePlaces
from converter.table.samples.record_images import RecordImages
from converter.table.samples.table_file import TableFile
from shardio.errors import TableError

_SHOWN = 3


class JoinedTable:
    """The rows of `files`, which are counted on over all of them in their order.

    `reading` names the file that is being read. A column that is wanted must be in every file.
    """

    def __init__(self, files: Sequence[TableFile]) -> None:
        self._files = files
        self.names = files[0].names
        self.reading = files[0].name
        self._rows = [0]
        first = files[0]
        for file in files:
            if file.has_header != first.has_header:
                with_, without = (first, file) if first.has_header else (file, first)
                raise TableError(
                    f"{without.name} has no header, and {with_.name} has one "
                    f"({', '.join(with_.names)}); give all of them one, or none and --columns"
                )

    @property
    def name(self) -> str:
        """What messages call the file that the names of the columns are from."""
        return self._files[0].name

    @property
    def hint(self) -> str:
        """What may help where a column is not there."""
        return self._files[0].hint

    @property
    def label_hint(self) -> str:
        """What may help where no label columns are."""
        return self._files[0].label_hint

    @property
    def columns_of_images(self) -> tuple[str, ...]:
        """The columns of the first file that hold or name images as Hugging Face writes them."""
        return (*self._files[0].image_columns, *self._files[0].named_images)

    @property
    def image_column(self) -> str | None:
        """The column of images, where all files have the same one and there are no paths."""
        columns = {file.image_columns for file in self._files}
        first = columns.pop()
        if columns or len(first) != 1 or any(PATH in file.names for file in self._files):
            return None
        return first[0]

    def check_path(self, path: str, image_column: str | None) -> None:
        """Raise TableError where paths and images are asked for that are not there."""
        for file in self._files:
            if path in file.image_columns:
                raise TableError(
                    f"{file.name}: the column {path} holds images, not paths; leave out "
                    f"--path-column, and --image-column {path} takes them"
                )
            if path == PATH and image_column in file.named_images:
                raise TableError(
                    f"{file.name}: the column {image_column} names images that are elsewhere; "
                    "leave out --image-column, and --root says what they are relative to"
                )

    def other_images(self, path: str) -> list[str]:
        """Note columns of images beside the paths, which are what is taken."""
        first = self._files[0]
        if path not in self.names:
            return []
        ways = [
            f"{one} holds images, which --image-column {one} takes" for one in first.image_columns
        ]
        ways += [
            f"{one} names images, which --path-column {one} takes"
            for one in first.named_images
            if one != path and PATH in self.names
        ]
        ways += [
            f"{one} holds bytes; if they are images, --image-column {one} takes them"
            for one in first.bytes_columns
        ]
        return [f"the images are those of the paths in {path}; the column {way}" for way in ways]

    def class_names(self, columns: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Return the names of the classes of some columns, which must be those of all files.

        TableError where they are not, and for two classes of one name.
        """
        first = self._files[0]
        found = {one: first.class_names[one] for one in columns if one in first.class_names}
        for file in self._files:
            for column in columns:
                if file.class_names.get(column) != found.get(column):
                    raise TableError(
                        f"{file.name} has other names of the classes of {column} than {self.name}"
                    )
        for column, names in found.items():
            if len({*names}) < len(names):
                twice = next(one for one in names if names.count(one) > 1)
                raise TableError(
                    f"{self.name}: two classes of {column} are called {twice!r}; write their names "
                    "again, each once"
                )
        return found

    @property
    def places_of_images(self) -> ImagePlaces | None:
        """Where the images are, if they are in the files themselves."""
        samples = [file.samples for file in self._files if file.samples is not None]
        readers = tuple(one.reader for one in samples)
        if not samples or not all(readers):
            return None
        return ImagePlaces(
            readers,
            tuple(one.location for one in samples),
            np.cumsum([0, *map(len, samples[:-1])]),
            tuple(one.offsets for one in samples),
            tuple(one.sizes for one in samples),
        )

    @property
    def copied_images(self) -> RecordImages | None:
        """The images, if they are in files in which no place can be read."""
        if all(file.samples is None or file.samples.reader for file in self._files):
            return None
        return RecordImages.of_all([file.copied for file in self._files if file.copied])

    def check_same(self, what: str, of: Callable[[Sequence[str]], tuple[str, ...]]) -> None:
        """Raise TableError where a file has other columns of a kind than the first one."""
        first = of(self.names)
        for file in self._files:
            if (other := of(file.names)) != first:
                raise TableError(
                    f"{file.name} has other {what} than {self.name}: {', '.join(other) or 'none'}, "
                    f"not {', '.join(first) or 'none'}"
                )

    def batches(self, wanted: list[str]) -> Iterator[Any]:
        """Yield Arrow batches of the columns that are wanted."""
        self._rows = [0]
        for file in self._files:
            self.reading = file.name
            for column in wanted:
                if file.names.count(column) != 1:
                    raise TableError(
                        f"{file.name} has {'no' if column not in file.names else 'more than one'} "
                        f"column {column}, as {self._files[0].name} has; it has "
                        f"{', '.join(file.names) or 'none'}"
                    )
            rows = 0
            for batch in file.batches(wanted):
                yield batch
                rows += batch.num_rows
            self._rows.append(self._rows[-1] + rows)

    def places(self, rows: Sequence[int]) -> list[str]:
        """Say where some rows are, which are in order: in which file and line, and the row."""
        found = []
        ends = np.array(self._rows[1:])
        several = len(self._files) > 1
        for number in sorted({*np.searchsorted(ends, rows, side="right").tolist()}):
            file, first = self._files[number], self._rows[number]
            own = [row for row in rows if first <= row < self._rows[number + 1]]
            lines = file.lines_of([row - first for row in own])
            for index, row in enumerate(own):
                place = [file.name] if several else []
                if lines is not None:
                    place.append(f"line {lines[index]}")
                elif several:
                    place.append(f"its row {row - first}")
                found.append(", ".join([*place, f"row {row}"]))
        return found

    def found(self) -> str:
        """Say how the files are read; what is the same in all of them once."""
        kinds = Counter(file.found for file in self._files)
        if len(self._files) == 1:
            return f"{self._files[0].name}: {self._files[0].found}"
        if len(kinds) == 1:
            return f"{len(self._files):,} files: {self._files[0].found}"
        shown = [f"{count:,} x {kind}" for kind, count in kinds.most_common(_SHOWN)]
        rest = [f"and {len(kinds) - _SHOWN} more kinds"] if len(kinds) > _SHOWN else []
        return f"{len(self._files):,} files: {'; '.join([*shown, *rest])}"

    def notes(self) -> list[str]:
        """Return what may be a slip in each file."""
        several = len(self._files) > 1
        return [
            f"{file.name}: {note}" if several else note
            for file in self._files
            for note in file.notes()
        ]
