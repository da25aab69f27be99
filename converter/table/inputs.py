"""The files of a table: found by name, glob or folder, their kind told by the ending."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from converter.table.paths.folder_listing import FolderListing
from converter.table.paths.kinds import DELIMITERS, ENDINGS, SAMPLES, Kind, kind_of
from converter.table.samples.lmdb_set import DATA
from converter.table.samples.table_file import TableFile
from converter.table.scratch import Scratch
from shardio.errors import MissingFileError, TableError
from shardio.grammar import counted
from shardio.storage import search, storage_for
from shardio.storage.chooser import local_path
from shardio.storage.paths import is_local, join, name_of
from shardio.storage.search import expanded, is_glob, is_there
from shardio.storage.whole_file import digest_of

STANDARD_INPUT = "-"
_READ_BYTES = 1 << 20
_SHOWN = 3


_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
# Files of one of these names beside those of another one are not of one table.
_SPLIT_OF_NAME = re.compile(
    r"(?:^|[-_.])(train|val|valid|validation|dev|test)(?=[-_.\d])", re.IGNORECASE
)


@dataclass(frozen=True)
class TableInput:
    """One file of a table; `name` is what messages call it, `location` where its bytes are."""

    name: str
    location: str
    kind: Kind
    compression: str | None = None
    # What divides cells by the ending of the name; None where that may be anything.
    delimiter: str | None = None
    listing: FolderListing | None = None

    def open(self) -> BinaryIO:
        """Open the file for reading from its start, decompressed."""
        stream = storage_for(self.location).open_stream(self.location)
        return stream if self.compression is None else _decompressed(stream, self.compression)

    def digest(self) -> bytes:
        """Return the SHA-256 of the file as it is stored, of a folder that of its names."""
        if self.listing is not None:
            return self.listing.digest()
        return bytes.fromhex(digest_of(self.location))


def all_names(given: Sequence[str]) -> list[str]:
    """Return the names, of which those with braces stand for several."""
    return [name for pattern in given for name in expanded(pattern)]


def find_inputs(given: Sequence[str], scratch: Scratch) -> list[TableInput]:
    """Return the files that some names, globs and folders stand for, in their order.

    Standard input is copied to `scratch`. Raises TableError for a name that stands for no table.
    """
    found = [file for name in given for file in _files_of(name, scratch)]
    if len(found) > 1 and any(file.kind is Kind.FOLDER for file in found):
        raise TableError("a folder of images is a table by itself; give no other table beside it")
    kinds = {file.kind for file in found}
    if len(kinds) > 1 and not kinds.isdisjoint(SAMPLES):
        raise TableError(
            f"{name_of_all(found)}: files that hold the images themselves are no table together "
            "with files of another kind"
        )
    known: dict[object, str] = {}
    for location in (file.location for file in found):
        identity = _identity(location)
        if identity in known:
            first = known[identity]
            also = "" if first == location else f", also as {first}"
            raise TableError(f"{location} is given twice{also}; its rows would be there twice")
        known[identity] = location
    return found


def _identity(location: str) -> object:
    """Return what tells a file from all others, whatever links lead to it."""
    local = local_path(location)
    if local is None or not os.path.exists(local):
        return location
    about = os.stat(local)
    return about.st_dev, about.st_ino


def name_of_all(inputs: Sequence[TableInput]) -> str:
    """Return what messages call the table as a whole."""
    if len(inputs) <= _SHOWN:
        return ", ".join(file.name for file in inputs)
    return f"{inputs[0].name} and {len(inputs) - 1:,} more files"


def digest_of_all(inputs: Sequence[TableInput], files: Sequence[TableFile]) -> str:
    """Return the SHA-256 of one file, or that of the digests of several in their order.

    Files that hold the images themselves are not read whole for that.
    """
    digests = [
        one.digest() if file.samples is None else file.samples.digest
        for one, file in zip(inputs, files, strict=True)
    ]
    if len(digests) == 1:
        return digests[0].hex()
    return hashlib.sha256(b"".join(digests)).hexdigest()


def _files_of(name: str, scratch: Scratch) -> Iterator[TableInput]:
    if name == STANDARD_INPUT:
        yield _standard_input(scratch)
    elif is_glob(name) and not is_there(name):
        found = [info.path for info in search(name)]
        if not found:
            raise TableError(f"{name}: no file has such a name")
        yield from map(_file, found)
    elif is_folder(name):
        yield from _files_in(name, scratch)
    else:
        yield _file(name)


def is_folder(name: str) -> bool:
    """Whether a name is that of a folder, as far as it may be one."""
    # A server need not tell what a name is before it is read.
    if not is_local(name) and kind_of(name)[0] is not None and not name.endswith("/"):
        return False
    try:
        return storage_for(name).stat(name).is_folder
    except MissingFileError:
        return False


def _file(name: str) -> TableInput:
    kind, compression, ending = kind_of(name)
    if kind is None:
        storage_for(name).stat(name)  # raises where there is nothing, whatever its ending
        raise TableError(
            f"{name}: a table must end in {ENDINGS}, those of text also in .gz or .zst behind "
            "that, or be a folder, or - for standard input"
        )
    if compression is not None and kind in (Kind.PARQUET, Kind.ARROW, Kind.LMDB):
        raise TableError(
            f"{name}: {kind.value} files are read at any place; decompress this one first"
        )
    return TableInput(name, name, kind, compression, DELIMITERS.get(ending))


def _files_in(folder: str, scratch: Scratch) -> Iterator[TableInput]:
    """Yield the Parquet and Arrow files below a folder, or its tars or TFRecords, or itself.

    That is one of images, or an LMDB.
    """
    if is_local(folder) and os.path.isfile(join(folder, DATA)):
        yield TableInput(folder.rstrip("/"), folder.rstrip("/"), Kind.LMDB)
        return
    listing = FolderListing.of(folder, scratch)
    tables, images = listing.tables, listing.images
    if not tables and not len(images):
        tables = listing.sets
    if not tables and not len(images):
        raise TableError(
            f"{folder} has neither images nor .parquet, .arrow, .tar or .tfrecord files; "
            f"{_what_else(listing)}"
        )
    if tables and len(images):
        raise TableError(
            f"{folder} may be read in two ways: as {counted(len(images), 'image')}, such as "
            f"{images.take(np.array([0]))[0]}, or as {counted(len(tables), 'table')}, such as "
            f"{tables[0]}; name what is meant, the folder of the images or "
            f"'{join(folder, tables[0])}'"
        )
    if not tables:
        yield TableInput(folder, folder, Kind.FOLDER, listing=listing)
        return
    parts = [path for path in tables if "=" in path.rpartition("/")[0]]
    if parts:
        raise TableError(
            f"{join(folder, parts[0])}: values in the names of folders are not read as a column; "
            "write the table without partitions"
        )
    found = (_SPLIT_OF_NAME.search(name_of(path)) for path in tables)
    splits = {match[1].lower() for match in found if match}
    if len(splits) > 1:
        raise TableError(
            f"{folder} has tables of several splits ({', '.join(sorted(splits))}), which would "
            f"become one; take one of them, such as '{join(folder, f'*{min(splits)}*')}'"
        )
    yield from (_file(join(folder, path)) for path in tables)


def _what_else(listing: FolderListing) -> str:
    if listing.other_tables:
        return f"name the table itself, such as {join(listing.folder, listing.other_tables[0])}"
    if listing.others:
        shown = ", ".join(
            f"{count:,} x .{ending}" for ending, count in listing.others.most_common(_SHOWN)
        )
        return f"it has {shown}"
    return "it is empty"


def _standard_input(scratch: Scratch) -> TableInput:
    copy = scratch.file()
    with scratch.reporting():
        while block := sys.stdin.buffer.read(_READ_BYTES):
            copy.write(block)
        copy.flush()
    location = f"/proc/{os.getpid()}/fd/{copy.fileno()}"
    whole = TableInput("standard input", location, Kind.DELIMITED)
    with whole.open() as stream:
        start = stream.read(_READ_BYTES)
    compression = compression_of(start)
    if compression is not None:
        whole = TableInput(whole.name, location, Kind.DELIMITED, compression)
        with whole.open() as stream:
            start = stream.read(_READ_BYTES)
    kind = Kind.DELIMITED
    if start.startswith(b"PAR1"):
        kind = Kind.PARQUET
    elif start.startswith((b"ARROW1", b"\xff\xff\xff\xff")):
        kind = Kind.ARROW
    elif start.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"["):
        kind = Kind.JSON
    return TableInput(whole.name, location, kind, compression)


def compression_of(start: bytes) -> str | None:
    """Return how a file is compressed that begins with these bytes, whatever its name says."""
    return next((kind for magic, kind in _MAGIC.items() if start.startswith(magic)), None)


def _decompressed(stream: BinaryIO, compression: str) -> Any:
    import pyarrow as pa

    return pa.CompressedInputStream(stream, compression)
