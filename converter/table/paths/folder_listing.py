"""What a folder holds: images, in the order of code points, and tables."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from converter.table.paths.kinds import Kind, kind_of
from converter.table.paths.sorted_texts import SortedTexts
from converter.table.scratch import Scratch, Texts, slices
from shardio.errors import TableError, UnusableFileError
from shardio.format.naming import MANIFEST, RECORDS
from shardio.storage import Storage, storage_for
from shardio.storage.paths import is_local, join

# What is taken for an image. Some of these are never read, and are then rejects with a reason.
IMAGE_ENDINGS = frozenset(
    [
        "apng",
        "avif",
        "bmp",
        "dds",
        "dib",
        "gif",
        "heic",
        "heif",
        "jfif",
        "jp2",
        "j2k",
        "jpe",
        "jpeg",
        "jpg",
        "jxl",
        "pbm",
        "pgm",
        "png",
        "pnm",
        "ppm",
        "tga",
        "tif",
        "tiff",
        "webp",
    ]
)
# Tables in Parquet or Arrow files make a folder a table; those of the other kinds are named only.
# What begins with _ is no table, as Spark writes it: _temporary/0/part-0.parquet.
TABLE_ENDINGS = ("parquet", "pq", "arrow")
_OTHER_TABLES = ("csv", "tsv", "json", "jsonl", "ndjson", "txt", "lst")
_MOST_TABLES = 100_000
_SHOWN = 3


def ending_of(path: str) -> str:
    """Return the ending of a path's name in lower case, without the dot."""
    name = path.rpartition("/")[2]
    stem, dot, ending = name.rpartition(".")
    return ending.lower() if dot and stem else ""


@dataclass(frozen=True)
class FolderListing:
    """What is below a folder, by paths relative to it. Of any number of images all are on disk."""

    folder: str
    images: Texts
    tables: tuple[str, ...]
    # Files with the images in them, which are a table where the folder has nothing else.
    sets: tuple[str, ...]
    # How many files there are of other endings, and examples of those that may be tables.
    others: Counter[str]
    other_tables: tuple[str, ...]

    @classmethod
    def of(cls, folder: str, scratch: Scratch) -> FolderListing:
        """List a folder; TableError for names that no table can hold."""
        images = SortedTexts(scratch)
        tables: list[str] = []
        sets: list[str] = []
        other_tables: list[str] = []
        others: Counter[str] = Counter()
        datasets: set[str] = set()
        for path in _files_below(folder):
            ending = ending_of(path)
            inner, _, name = path.rpartition("/")
            if inner and name == MANIFEST:
                datasets.add(inner)
            if ending in IMAGE_ENDINGS:
                _check(path, folder)
                images.append(path)
            elif ending in TABLE_ENDINGS and not path.startswith("_") and "/_" not in path:
                tables.append(path)
                if len(tables) > _MOST_TABLES:
                    raise TableError(f"{folder} has more than {_MOST_TABLES:,} tables")
            else:
                others[ending] += 1
                if len(sets) < _MOST_TABLES and kind_of(path)[0] in (Kind.TAR, Kind.TFRECORD):
                    sets.append(path)
                if ending in _OTHER_TABLES and len(other_tables) < _SHOWN:
                    other_tables.append(path)
        return cls(
            folder,
            images.finish(),
            # Shards that were made below the images are not a table of them.
            tuple(sorted({*tables} - {f"{inner}/{RECORDS}" for inner in datasets})),
            tuple(sorted(sets)),
            others,
            tuple(other_tables),
        )

    def digest(self) -> bytes:
        """Return the SHA-256 of the sorted names of the images, a null byte behind each."""
        digest = hashlib.sha256()
        for part in slices(len(self.images)):
            names = self.images.take(np.arange(part.start, part.stop))
            digest.update("".join(f"{name}\0" for name in names).encode())
        return digest.digest()


def _check(path: str, folder: str) -> None:
    try:
        path.encode()
    except UnicodeEncodeError:
        raise TableError(
            f"{folder}: the name {os.fsencode(path)!r} is not UTF-8; rename it, for example with "
            "convmv -f gbk -t utf-8"
        ) from None


def _files_below(top: str) -> Iterator[str]:
    """Yield the paths of all files that are not hidden, relative to `top`, in any order."""
    storage = storage_for(top)
    waiting = [""]
    while waiting:
        inner = waiting.pop()
        folder = join(top, inner) if inner else top
        if inner and _leads_back(top, inner):
            continue
        for name, is_folder in _names(storage, folder):
            if name.startswith("."):
                continue
            path = f"{inner}/{name}" if inner else name
            if is_folder:
                waiting.append(path)
            else:
                yield path


def _names(storage: Storage, folder: str) -> Iterator[tuple[str, bool]]:
    try:
        yield from storage.names(folder)
    except UnusableFileError as error:
        raise TableError(
            f"{error}; the images in this folder cannot be listed: make it readable, or move it "
            "away"
        ) from error


def _leads_back(top: str, inner: str) -> bool:
    """Whether a folder is a link to one on the way to it, or above that: that has no end."""
    folder = join(top, inner)
    if not is_local(folder) or not os.path.islink(folder):
        return False
    target = os.path.realpath(folder)
    parts = inner.split("/")
    way = (os.path.realpath(join(top, *parts[:count])) for count in range(len(parts)))
    return any(one == target or one.startswith(target.rstrip("/") + "/") for one in way)
