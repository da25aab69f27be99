"""The rows of an input table, which stay on disk, and where their images are."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converter.table.folder_listing import IMAGE_ENDINGS, ending_of
from converter.table.image_column import ImageColumn
from converter.table.locations import SEPARATOR, chained, leaves
from converter.table.scratch import Texts
from shardio.format.label import Label
from shardio.storage.paths import join, scheme_of


@dataclass(frozen=True)
class Table:
    """The rows of an input table.

    `labels` is (rows, heads). `splits` are the names of the splits in order, `split` the index
    into them of each row. `vocabulary` is that of text labels. `images` is the column that holds
    the images themselves; then there may be no paths. All that grows with the rows is on
    disk, in files without a name that go with the table.
    """

    name: str
    sha256: str
    root: str
    heads: tuple[str, ...]
    labels: NDArray[np.int32]
    splits: tuple[str, ...]
    split: NDArray[np.int32]
    _paths: Texts | None
    vocabulary: tuple[str, ...] | None = None
    images: ImageColumn | None = None
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
        if self.vocabulary is not None:
            return tuple(Label(head, len(self.vocabulary), self.vocabulary) for head in self.heads)
        most: Any = self.labels.max(axis=0)
        return tuple(
            Label(head, classes or int(last) + 1)
            for head, last in zip(self.heads, most, strict=True)
        )

    def location(self, path: str) -> str:
        """Return where the image of a row's `path` is: absolute, or below the root.

        A path that leaves the root is relative to the table's folder. A member of an archive is
        `archive.tar::name`, or as fsspec writes it, `tar://name::archive`.
        """
        if (member := chained(path)) is not None:
            archive, name = member
            return self.location(archive) + SEPARATOR + name
        if self.extension is not None and ending_of(path) not in IMAGE_ENDINGS:
            path += self.extension
        if path.startswith("/") or scheme_of(path):
            return path
        if self.folder is not None and leaves(path):
            return posixpath.normpath(join(self.folder, path))
        return join(self.root, path)
