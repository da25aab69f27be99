"""The stream of an archive, and what Python's readers of tar and zip say of a damaged one."""

from __future__ import annotations

import struct
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader, RawIOBase
from typing import TYPE_CHECKING, Any, BinaryIO

from shardio.errors import ShardioError, UnusableFileError
from shardio.storage.paths import name_of

if TYPE_CHECKING:
    Buffered = BufferedReader[Any]

_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",  # each is the name of a program, too
}
# What Python's readers raise on bytes that are no archive, or a damaged one.
_DAMAGE = (
    *(tarfile.TarError, zipfile.BadZipFile, EOFError, ValueError, OverflowError, LookupError),
    *(struct.error, NotImplementedError, RuntimeError),
)
_BUFFER = 1 << 16


@contextmanager
def archive_stream(stream: BinaryIO, path: str) -> Iterator[Buffered]:
    """Read an archive from a stream, which is closed in the end.

    UnusableFileError for what is none, or not whole; an error of the storage stays one.
    """
    watched = _Watched(stream)
    with BufferedReader(watched, _BUFFER) as file:  # headers are small
        start = file.read(8)
        file.seek(0)
        for magic, kind in _COMPRESSED.items():
            if start.startswith(magic):
                raise UnusableFileError(
                    f"{path}: compressed with {kind}, where no image is found by its place; write "
                    f"it without, for example with `{kind} -dc {name_of(path)} > NAME.tar`"
                )
        try:
            yield file
        except ShardioError:
            raise
        except _DAMAGE as error:
            if watched.failure is not None:
                raise watched.failure from error
            raise UnusableFileError(f"{path}: not a whole tar or zip archive ({error})") from error


def buffered(stream: BinaryIO, size: int) -> Buffered:
    """Read a stream of a storage through a buffer of so many bytes; both are closed together."""
    return BufferedReader(_Watched(stream), size)


class _Watched(RawIOBase):
    """A stream that remembers its error: zipfile takes any for a sign of damage."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.failure: OSError | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def readinto(self, buffer: Any, /) -> int:
        try:
            data = self._stream.read(len(buffer))
        except OSError as error:
            self.failure = error
            raise
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        super().close()
        self._stream.close()


def members_of_tar(file: Buffered, *, ended: bool = False) -> Iterator[tarfile.TarInfo]:
    """Yield the members of a tar; tarfile's errors for one that is not whole.

    One that is cut between two members looks whole but for its end, which must be there if it is to
    be `ended`.
    """
    with tarfile.open(fileobj=file, mode="r:") as archive:
        while (member := archive.next()) is not None:
            archive.members = []  # type: ignore[attr-defined]  # it keeps all, a kilobyte each
            yield member
        # It takes a damaged header for the end.
        file.seek(archive.offset)
        last = file.read(tarfile.BLOCKSIZE)
        if last.strip(b"\0"):
            raise tarfile.ReadError(f"bad header at byte {archive.offset}")
        if ended and len(last) < tarfile.BLOCKSIZE:
            raise tarfile.ReadError(
                f"cut at byte {archive.offset + len(last)}: the empty blocks that end a tar are "
                "not there"
            )
        while ended and (rest := file.read(_BUFFER)):
            if rest.strip(b"\0"):
                raise tarfile.ReadError(
                    f"it ends at byte {archive.offset}, and more follows: tars that were joined "
                    "are not one; give each of them as a file"
                )
