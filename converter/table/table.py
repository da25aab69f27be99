"""The rows of an input table, which stay on disk, and where their images are."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converter.table.image_column import ImageSource
from converter.table.paths.folder_listing import IMAGE_ENDINGS, ending_of
from converter.table.paths.locations import SEPARATOR, chained, leaves
from converter.table.samples.hugging_face import ClassNames
from converter.table.samples.places import ImagePlaces
from converter.table.scratch import Texts
from shardio.format.label import Label, LabelKind, columns_of
from shardio.format.sequences import length_of
from shardio.storage.paths import join, scheme_of

# No path has this character in it; and it is absolute, as other locations may have to be.
DROPPED = "/\0dropped"


@dataclass(frozen=True)
class Table:
    """The rows of an input table.

    `labels` is (rows, numbers): the values of all heads, whose `kinds` say how many each has, and a
    float as its 32 bits. `splits` are the names of the splits in order, `split` the index
    into them of each row. `vocabulary` is that of text labels. `images` is the column that holds
    the images themselves; then there may be no paths. All that grows with the rows is on
    disk, in files without a name that go with the table.
    """

    name: str
    sha256: str
    root: str
    heads: tuple[str, ...]
    kinds: tuple[LabelKind, ...]
    labels: NDArray[np.integer]
    splits: tuple[str, ...]
    split: NDArray[np.int32]
    _paths: Texts | None
    vocabulary: tuple[str, ...] | None = None
    images: ImageSource | None = None
    # The folder of the table, where that is below the root and another one.
    folder: str | None = None
    # What paths without an ending of images get.
    extension: str | None = None
    # How its files were read.
    found: str = ""
    # What was read as it is written, but may be meant in another way.
    notes: tuple[str, ...] = ()
    # A row and its path for each storage that the images are on.
    examples: tuple[tuple[int, str], ...] = ()
    # Where the images are that lie within the files of the table.
    places: ImagePlaces | None = None
    # Heads that hold the ids of the `characters` of texts, and of how many at most.
    sequences: tuple[tuple[str, int], ...] = ()
    characters: tuple[str, ...] | None = None
    # Left, top, right and bottom of what is cut out of the image of each row.
    boxes: NDArray[np.int32] | None = None
    # The names of the classes of heads, where the table's files have them.
    class_names: ClassNames = field(default_factory=dict)
    # Rows that have no record, in order.
    dropped: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def has_paths(self) -> bool:
        """Whether the table has paths; one with images in it need not."""
        return self._paths is not None

    def paths(self, rows: NDArray[np.int64]) -> list[str]:
        """Return the paths of `rows` as the table has them, or what stands for them."""
        if self._paths is None:
            return [f"row {row}" for row in rows.tolist()]
        return self._paths.take(rows)

    def heads_of(self, classes: int | None) -> tuple[Label, ...]:
        """Return the heads; without `classes` or a vocabulary one has its largest label + 1."""
        words, found = self.vocabulary, []
        ids = ("", *(self.characters or ()))
        lengths = {length_of(name): length for name, length in self.sequences}
        most: Any = self.labels.max(axis=0)
        for head, kind, columns in zip(self.heads, self.kinds, columns_of(self.kinds), strict=True):
            if head in dict(self.sequences):
                found.append(Label(head, len(ids), ids, kind))
            elif head in lengths:
                found.append(Label(head, lengths[head] + 1))
            elif kind.is_float:
                found.append(Label(head, 0, None, kind))
            elif kind.is_class and words is not None:
                found.append(Label(head, len(words), words))
            elif kind.is_class and head in self.class_names:
                names = self.class_names[head]
                found.append(Label(head, len(names), names))
            else:
                found.append(Label(head, classes or int(most[columns].max()) + 1, None, kind))
        return tuple(found)

    @property
    def has_images(self) -> bool:
        """Whether the images are in the table itself."""
        return self.images is not None or self.places is not None

    def locations(self, rows: NDArray[np.int64]) -> list[str]:
        """Return where the images of `rows` are, those of a column excepted."""
        if self.places is not None:
            return self.marked(rows, self.places.locations(rows))
        return self.marked(rows, [self.location(path) for path in self.paths(rows)])

    def marked(self, rows: NDArray[np.int64], locations: list[str]) -> list[str]:
        """Return the locations of rows, where DROPPED stands for those that are left out."""
        for at in np.flatnonzero(np.isin(rows, self.dropped)).tolist():
            locations[at] = DROPPED
        return locations

    def kept(self, count: int) -> NDArray[np.int64]:
        """Return `count` rows at most of those that are not left out, evenly spaced."""
        total = len(self) - len(self.dropped)
        count = min(count, total)
        places = np.arange(count, dtype=np.int64) * total // max(1, count)
        # How many of the rows left out come before each.
        before = self.dropped - np.arange(len(self.dropped))
        return np.asarray(places + np.searchsorted(before, places, side="right"))

    def location(self, path: str) -> str:
        """Return where the image of a row's `path` is: absolute, or below the root.

        A path that leaves the root is relative to the table's folder. A member of an archive is
        `archive.tar::name`, or as fsspec writes it, `tar://name::archive`.
        """
        if (member := chained(path)) is not None:
            path = SEPARATOR.join(member)
        if self.extension is not None and ending_of(path) not in IMAGE_ENDINGS:
            path += self.extension
        if path.startswith("/") or scheme_of(path):
            return path
        if self.folder is not None and leaves(path):
            return posixpath.normpath(join(self.folder, path))
        return join(self.root, path)
