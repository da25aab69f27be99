"""Open files of any fsspec file system, with errors of ours."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from io import RawIOBase
from typing import Any

from shardio.errors import MissingFileError, ShardioError, StorageError, UnusableFileError


class FsspecStream(RawIOBase):
    """A file read or written from its start to its end."""

    def __init__(self, path: str, file: Any) -> None:
        self._path = path
        self._file = file

    def _do(self, action: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return action(*arguments)
        except Exception as error:
            raise translate(error, self._path) from error

    def readable(self) -> bool:
        """Whether the file is open for reading."""
        return bool(self._file.readable())

    def writable(self) -> bool:
        """Whether the file is open for writing."""
        return bool(self._file.writable())

    def seekable(self) -> bool:
        """Whether the file has a position."""
        return bool(self._file.seekable())

    def read(self, size: int | None = -1, /) -> bytes:
        """Read at most `size` bytes."""
        return bytes(self._do(self._file.read, -1 if size is None else size))

    def readall(self) -> bytes:
        """Read to the end."""
        return self.read()

    def readinto(self, buffer: Any, /) -> int:
        """Read into a buffer."""
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def write(self, data: Any, /) -> int:
        """Write all of `data`."""
        self._do(self._file.write, data)
        return len(data)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Move the position."""
        return int(self._do(self._file.seek, offset, whence))

    def tell(self) -> int:
        """Return the position."""
        return int(self._do(self._file.tell))

    def close(self) -> None:
        """Close the file; what was written is there only after that."""
        if self.closed:
            return
        super().close()
        self._do(self._file.close)

    def discard(self) -> None:
        """Close the file without committing what was written, where it can be told so."""
        with suppress(Exception):
            self._file.discard()
        with suppress(Exception):
            self.close()


class FsspecRanges:
    """A seekable file; it has one position, so threads take turns."""

    def __init__(self, path: str, file: Any) -> None:
        self._path = path
        self._file = file
        self._turn = threading.Lock()

    def read_into(self, offset: int, buffers: Sequence[memoryview], size: int) -> int:
        """Fill `buffers` in turn from byte `offset`."""
        data = self._read(offset, size)
        at = 0
        for buffer in buffers:
            piece = data[at : at + len(buffer)]
            buffer[: len(piece)] = piece
            at += len(piece)
        return len(data)

    def read_pieces(self, offset: int, size: int) -> list[memoryview]:
        """Return bytes, in one piece."""
        return [memoryview(self._read(offset, size))]

    def _read(self, offset: int, size: int) -> bytes:
        try:
            with self._turn:
                self._file.seek(offset)
                data: bytes = self._file.read(size)
                return data
        except Exception as error:
            raise translate(error, f"{self._path}, byte {offset}") from error

    def advise(self, offset: int, size: int) -> None:
        """Do nothing: such a file reads when it is asked."""

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def translate(error: Exception, path: str) -> Exception:
    """Turn a foreign error into ours, naming the path."""
    if isinstance(error, ShardioError):
        return error
    reason = str(error) or type(error).__name__
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return MissingFileError(f"{path}: No such file or directory")
    if isinstance(error, PermissionError | IsADirectoryError):
        return UnusableFileError(f"{path}: {reason}")
    return StorageError(f"{path}: {reason}")
