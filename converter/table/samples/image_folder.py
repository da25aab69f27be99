"""A folder of images as a table, with a row for each image."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from converter.table.paths.folder_listing import FolderListing
from converter.table.reading import SPLIT
from converter.table.samples.table_file import TableFile
from converter.table.scratch import slices
from shardio.errors import TableError
from shardio.grammar import counted

_SPLITS = frozenset(["train", "training", "val", "valid", "validation", "dev", "test", "testing"])
_TRAIN = ("train", "training")
_MOST_FOLDERS = 1000
_ROWS = 1 << 14
_SHOWN = 3
_HINT = (
    ". --labels folder --text-labels takes the names of the folders that the images are in, and "
    "--name-pattern '(?P<text>[^_]+)_.*' --labels text --text-labels a part of their own names "
    "(--characters text instead: a label for each character); "
    "--labels '' takes images without labels"
)


def open_folder(listing: FolderListing, *, splits: bool) -> TableFile:
    """Return the images as a table of the columns path, folder and stem.

    Where all images are in folders such as train and val, these are the column `split`, unless no
    `splits` are wanted. Raises TableError where some of them are.
    """
    tops = _tops(listing) if splits else set()
    found = {top for top in tops if top.lower() in _SPLITS}
    has_splits = bool(tops) and found == tops
    if not has_splits and len(found) > 1 and any(top.lower() in _TRAIN for top in found):
        others = sorted(tops - found)
        shown = ", ".join(top or "images without a folder" for top in others[:_SHOWN])
        raise TableError(
            f"{listing.folder} may be read in two ways: {', '.join(sorted(found))} are splits, but "
            f"beside them is {shown}; --split-column '' takes them for plain folders"
        )
    same_names = _SameNames()
    names = ["path", "folder", "stem", *([SPLIT] if has_splits else [])]
    count = f"{counted(len(listing.images), 'image')}, columns {', '.join(names)}"
    return TableFile(
        listing.folder,
        names,
        partial(_batches, listing, has_splits, same_names),
        f"a folder of {count}",
        lambda: [*_notes(listing), *same_names.notes("[^/]*/" if has_splits else "")],
        label_hint=_HINT,
    )


def _tops(listing: FolderListing) -> set[str]:
    """Return the folders right below the top that have images; too many are no splits."""
    found: set[str] = set()
    for part in slices(len(listing.images), _ROWS):
        paths = listing.images.take(np.arange(part.start, part.stop))
        found |= {top if slash else "" for top, slash, _ in (path.partition("/") for path in paths)}
        if len(found) > _MOST_FOLDERS:
            return set()
    return found


class _SameNames:
    """Folders that are called alike, such as a/x and b/x: as labels they are one class."""

    def __init__(self) -> None:
        self._first: dict[str, str] = {}
        self._others: dict[str, str] = {}

    def name_of(self, folder: str) -> str:
        """Return the last part of a folder's path."""
        name = folder.rpartition("/")[2]
        if self._first.setdefault(name, folder) != folder:
            self._others.setdefault(name, folder)
        return name

    def notes(self, split: str = "") -> list[str]:
        """Say which folders are one class; `split` is a pattern of what stands before them."""
        if not self._others:
            return []
        name, other = next(iter(self._others.items()))
        more = len(self._others) - 1
        return [
            f"{self._first[name]} and {other} have one value in the column folder, {name}"
            + (f" (so it is with {counted(more, 'more name')})" if more else "")
            + f"; --name-pattern '{split}(?P<text>.*)/.*' --labels text takes the whole path"
        ]


def _batches(
    listing: FolderListing, has_splits: bool, same_names: _SameNames, wanted: list[str]
) -> Iterator[Any]:
    import pyarrow as pa

    for part in slices(len(listing.images), _ROWS):
        paths = listing.images.take(np.arange(part.start, part.stop))
        columns = (_column(name, paths, has_splits, same_names) for name in wanted)
        yield pa.record_batch([pa.array(one, pa.large_string()) for one in columns], names=wanted)


def _column(name: str, paths: list[str], has_splits: bool, same_names: _SameNames) -> list[str]:
    if name == "stem":
        return [re.sub(r"\.[^.]*$", "", path.rpartition("/")[2]) for path in paths]
    if name == SPLIT:
        return [path.partition("/")[0] for path in paths]
    if name == "folder":
        # That of the top, or of a split, would be a class of its own.
        inner = (path.partition("/")[2] if has_splits else path for path in paths)
        return [same_names.name_of(path.rpartition("/")[0]) for path in inner]
    return paths


def _notes(listing: FolderListing) -> list[str]:
    if not listing.others:
        return []
    shown = [f"{count:,} x .{name or '?'}" for name, count in listing.others.most_common(_SHOWN)]
    note = f"files that are no images by their ending were left out: {', '.join(shown)}"
    if listing.other_tables:
        note += f"; {listing.other_tables[0]} may be a table of the images, and is not read"
    return [note]
