"""The Storage protocol: what shardio asks of a place where bytes live.

Paths are whole: a local path, or a URL with its scheme. What a storage returns can be given to it
again. Every failure is an error of `shardio.errors`; a storage can be pickled.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import BinaryIO, Protocol


@dataclass(frozen=True)
class Access:
    """The permissions of a file: the bits of its mode, its owner and group.

    Where the owners are not known to this machine, which are those of HDFS, they are None.
    """

    mode: int
    uid: int | None = None
    gid: int | None = None


@dataclass(frozen=True)
class FileInfo:
    """What a storage says of a path.

    `size` is in bytes. `identity` changes when the file is replaced or written to, as far as the
    storage can tell. `modified` is when that was, in seconds since 1970, 0 where it is not known.
    `access` is None where the storage knows no permissions.
    """

    path: str
    size: int
    identity: str
    is_folder: bool = False
    modified: float = 0.0
    access: Access | None = field(default=None, compare=False)


class RangeReader(Protocol):
    """An open file that is read at any byte, from any thread.

    It closes itself when nothing refers to it any more.
    """

    @property
    def descriptor(self) -> int:
        """The descriptor of a file of this machine; -1 of any other, where reads are requests."""

    @property
    def identity(self) -> str:
        """What `Storage.stat` says of the file that was opened; empty where it must be asked."""

    def read_into(self, offset: int, memory: memoryview) -> int:
        """Fill `memory` from byte `offset`.

        Returns the bytes read: less than asked for only where the file ends.
        """

    def advise(self, offset: int, size: int) -> None:
        """Hint that these bytes are wanted soon; never waits and never fails."""

    def close(self) -> None:
        """Give the file back; more than once is allowed."""


class Storage(Protocol):
    """A place where bytes live."""

    def list(self, folder: str) -> list[FileInfo]:
        """List the files and folders in `folder`, sorted by path; empty where it is not there."""

    def names(self, folder: str) -> Iterator[tuple[str, bool]]:
        """Yield the name of each file and folder in `folder`, and whether it is a folder.

        They come in any order, as far as possible a few at a time: millions of them take little
        memory. Nothing comes where no folder is.
        """

    def stat(self, path: str) -> FileInfo:
        """Return size and identity; raises MissingFileError where it is not there."""

    def is_link(self, path: str) -> bool:
        """Whether `path` itself is a symbolic link, wherever that leads."""

    def open_ranges(self, path: str) -> RangeReader:
        """Open a file for reading at any byte."""

    def open_stream(self, path: str) -> BinaryIO:
        """Open a file for reading from its start to its end."""

    def read_file(self, path: str, max_bytes: int) -> bytes:
        """Return a whole file at once; raises UnusableFileError where it is above `max_bytes`."""

    def publish(
        self, path: str, *, attempt: str, overwrite: bool = True
    ) -> AbstractContextManager[BinaryIO]:
        """Write a file that appears whole or not at all.

        The bytes go to a temporary name that holds `attempt`, so that two tries never write to
        one file. When the block ends, they are made durable and renamed; after an exception they
        are removed. With `overwrite=False` an existing file is kept and OutputError raised.
        Folders on the way are made.
        """

    def delete(self, path: str) -> None:
        """Remove a file, or a folder with all that is in it; nothing happens where none is.

        Of a symbolic link the link is removed, and what it leads to stays.
        """
