"""Any file system that fsspec knows: memory://, s3://, https://, ..."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO

from shardio.errors import (
    MissingExtraError,
    MissingFileError,
    OutputError,
    ShardioError,
    StorageError,
    UnusableFileError,
)
from shardio.storage.protocol import FileInfo, RangeReader
from shardio.storage.temporary import temporary_name

# What tells one version of a file from another, in the words of the various file systems.
_IDENTITY_KEYS = ("ETag", "etag", "md5Hash", "mtime", "LastModified", "last_modified", "created")


class FsspecStorage:
    """The file system of one scheme, with fsspec's own configuration."""

    def __init__(self, scheme: str) -> None:
        self._scheme = scheme

    @property
    def _files(self) -> Any:
        # Imported here: `import fsspec` costs 50 ms that a local run need not pay. fsspec keeps
        # one instance for each thread and process itself.
        import fsspec

        try:
            return fsspec.filesystem(self._scheme)
        except ImportError as error:
            raise MissingExtraError(
                f"{self._scheme}:// needs a package that is not installed: {error}"
            ) from error
        except ValueError as error:
            raise StorageError(f"{self._scheme}:// is not a known storage: {error}") from error

    def _url(self, name: str) -> str:
        return str(self._files.unstrip_protocol(name))

    def list(self, folder: str) -> list[FileInfo]:
        """List the files and folders in `folder`."""
        try:
            files = self._files
            files.invalidate_cache(folder)
            entries = files.ls(folder, detail=True)
        except FileNotFoundError:
            return []
        except Exception as error:
            raise translate(error, folder) from error
        base = folder.rstrip("/")
        found = [
            _info(f"{base}/{entry['name'].rstrip('/').rsplit('/', 1)[-1]}", entry)
            for entry in entries
        ]
        return sorted(found, key=lambda info: info.path)

    def stat(self, path: str) -> FileInfo:
        """Return size and identity."""
        try:
            files = self._files
            files.invalidate_cache(path.rpartition("/")[0])
            return _info(path, files.info(path))
        except Exception as error:
            raise translate(error, path) from error

    def open_ranges(self, path: str) -> RangeReader:
        """Open a file for reading at any byte."""
        return _FsspecRanges(path, self.open_stream(path))

    def open_stream(self, path: str) -> BinaryIO:
        """Open a file for reading."""
        try:
            file: BinaryIO = self._files.open(path, "rb")
        except Exception as error:
            raise translate(error, path) from error
        return file

    @contextmanager
    def publish(self, path: str, *, attempt: str, overwrite: bool = True) -> Iterator[BinaryIO]:
        """Write a file that appears whole or not at all."""
        folder, _, name = path.rpartition("/")
        temporary = f"{folder}/{temporary_name(name, attempt)}"
        files = self._files
        try:
            files.makedirs(folder, exist_ok=True)
            file = files.open(temporary, "wb")
            try:
                yield file
            except BaseException:
                # Closing would commit what is there; most files can drop it instead.
                if hasattr(file, "discard"):
                    with suppress(Exception):
                        file.discard()
                raise
            finally:
                file.close()
            if not overwrite and files.exists(path):
                raise OutputError(f"{path}: File exists")
            files.mv(temporary, path)
        except BaseException as error:
            with suppress(Exception):
                files.rm(temporary)
            if isinstance(error, Exception) and not isinstance(error, ShardioError):
                raise translate(error, path) from error
            raise

    def delete(self, path: str) -> None:
        """Remove a file, or a folder with all that is in it."""
        try:
            self._files.rm(path, recursive=True)
        except FileNotFoundError:
            pass
        except Exception as error:
            raise translate(error, path) from error


class _FsspecRanges:
    """A seekable file; it has one position, so threads take turns."""

    def __init__(self, path: str, file: BinaryIO) -> None:
        self._path = path
        self._file = file
        self._turn = threading.Lock()

    def read_into(self, offset: int, buffers: Sequence[memoryview], size: int) -> int:
        """Fill `buffers` in turn from byte `offset`."""
        try:
            with self._turn:
                self._file.seek(offset)
                data = self._file.read(size)
        except Exception as error:
            raise translate(error, f"{self._path}, byte {offset}") from error
        at = 0
        for buffer in buffers:
            piece = data[at : at + len(buffer)]
            buffer[: len(piece)] = piece
            at += len(piece)
        return len(data)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def translate(error: Exception, path: str) -> Exception:
    """Turn a foreign error into ours, naming the path."""
    if isinstance(error, ShardioError):
        return error
    reason = str(error) or type(error).__name__
    if isinstance(error, FileNotFoundError):
        return MissingFileError(f"{path}: No such file or directory")
    if isinstance(error, PermissionError | IsADirectoryError | NotADirectoryError):
        return UnusableFileError(f"{path}: {reason}")
    return StorageError(f"{path}: {reason}")


def _info(path: str, entry: dict[str, Any]) -> FileInfo:
    size = int(entry.get("size") or 0)
    marks = [str(entry[key]) for key in _IDENTITY_KEYS if entry.get(key) is not None]
    return FileInfo(path, size, ":".join([str(size), *marks]), entry.get("type") == "directory")
