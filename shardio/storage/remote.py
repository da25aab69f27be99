"""Any file system that fsspec knows: memory://, s3://, https://, ..."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from io import BytesIO
from typing import Any, BinaryIO, cast

from shardio.errors import (
    MissingExtraError,
    MissingFileError,
    OutputError,
    StorageError,
    UnusableFileError,
)
from shardio.storage.protocol import FileInfo, RangeReader
from shardio.storage.remote_files import FsspecRanges, FsspecStream, translate
from shardio.storage.temporary import temporary_name
from shardio.storage.whole import ROOM, Room, check_size, read_stream

# Where file systems say when a file was written.
_TIME_KEYS = ("mtime", "modified", "LastModified", "last_modified", "updated", "created")
# What tells one version of a file from another, in the words of the various file systems.
_IDENTITY_KEYS = (
    *("ETag", "etag", "md5Hash", "generation"),
    *("ino", "mtime", "LastModified", "last_modified", "created"),
)
# What fsspec's own functions take for a pattern.
_MAGIC = re.compile(r"[*?\[]")


class _Found(threading.local):
    """The file systems that a thread has found, by process and root."""

    def __init__(self) -> None:
        self.files: dict[tuple[int, str], Any] = {}


_found = _Found()


class FsspecStorage:
    """The file system that a URL's scheme and host name, with fsspec's own configuration."""

    def __init__(self, root: str) -> None:
        self._root = root

    @property
    def _files(self) -> Any:
        # fsspec keeps one instance for each thread and process itself, but takes long to find it.
        key = (os.getpid(), self._root)
        files = _found.files.get(key)
        if files is None:
            files = self._find()
            if files.cachable:
                _found.files[key] = files
        return files

    def _find(self) -> Any:
        # Imported here: `import fsspec` costs 50 ms that a local run need not pay.
        import fsspec.core

        try:
            return fsspec.core.url_to_fs(self._root)[0]
        except ImportError as error:
            raise MissingExtraError(
                f"{self._root} needs a package that is not installed: {error}"
            ) from error
        except ValueError as error:
            raise StorageError(f"{self._root} is not a known storage: {error}") from error

    def list(self, folder: str) -> list[FileInfo]:
        """List the files and folders in `folder`."""
        try:
            files = self._files
            files.invalidate_cache(folder)
            entries = files.ls(folder, detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except Exception as error:
            raise translate(error, folder) from error
        base = folder if folder.endswith("/") else f"{folder}/"
        # Some file systems list a folder, or a file, as being in itself.
        itself = str(files._strip_protocol(folder)).rstrip("/")
        names = ((entry["name"].rstrip("/"), entry) for entry in entries)
        found = [
            _info(base + name.rpartition("/")[2], entry) for name, entry in names if name != itself
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

    def is_link(self, path: str) -> bool:
        """Whether `path` itself is a symbolic link, where the file system has such."""
        try:
            entry = self._files.info(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except Exception as error:
            raise translate(error, path) from error
        return bool(entry.get("islink")) or entry.get("type") == "link"

    def open_ranges(self, path: str) -> RangeReader:
        """Open a file for reading at any byte."""
        # By default fsspec reads 5 MB ahead of each read, for records of a few kilobytes.
        return FsspecRanges(path, self._open(path, cache_type="none"))

    def open_stream(self, path: str) -> BinaryIO:
        """Open a file for reading."""
        return cast(BinaryIO, FsspecStream(path, self._open(path)))

    def read_file(self, path: str, most: int, room: Room = ROOM) -> bytes:
        """Return a whole file with one request, where the file system and `room` let it."""
        files = self._files
        try:
            if not _has_own_cat_file(files):
                raise NotImplementedError
            data = _whole(files, path, most, room)
        except FileNotFoundError as error:
            raise translate(error, path) from error
        except Exception:
            # Not every one takes a range, or that of an empty file. A real error comes again.
            # By default a file is read 5 MB ahead.
            with FsspecStream(path, file := self._open(path, cache_type="none")) as stream:
                size = getattr(file, "size", None)
                if not isinstance(size, int):
                    return read_stream(cast(BinaryIO, stream), path, most, room)
                check_size(size, path, most)
                room.take(size)
                return stream.read(size)
        check_size(len(data), path, most)
        return data

    def _open(self, path: str, **options: Any) -> Any:
        try:
            files = self._files
            try:
                file = files.open(path, "rb", **options)
            except TypeError:  # not every file system has the option
                file = files.open(path, "rb")
        except FileExistsError as error:  # memory:// says so of a path below a file
            raise MissingFileError(f"{path}: No such file or directory") from error
        except Exception as error:
            raise translate(error, path) from error
        # memory:// hands out one object, with one position, to all who open a file.
        return BytesIO(file.getvalue()) if isinstance(file, BytesIO) else file

    @contextmanager
    def publish(self, path: str, *, attempt: str, overwrite: bool = True) -> Iterator[BinaryIO]:
        """Write a file that appears whole or not at all."""
        folder, _, name = path.rpartition("/")
        temporary = f"{folder}/{temporary_name(name, attempt)}"
        try:
            files = self._files
            if folder.rpartition("/")[0]:  # a scheme alone has no folder to make
                files.makedirs(folder, exist_ok=True)
            file = FsspecStream(path, files.open(temporary, "wb"))
        except Exception as error:
            raise translate(error, path) from error
        try:
            try:
                yield cast(BinaryIO, file)
            except BaseException:
                file.discard()
                raise
            file.close()
            self._check_target(path, overwrite)
            try:
                _move(files, temporary, path)
            except Exception as error:
                raise translate(error, path) from error
        except BaseException:
            with suppress(Exception):
                files.rm_file(temporary)
            raise

    def _check_target(self, path: str, overwrite: bool) -> None:
        """Refuse to replace a folder, and a file that is to be kept."""
        try:
            there = self.stat(path)
        except MissingFileError:
            return
        if there.is_folder:
            raise UnusableFileError(f"{path}: Is a directory")
        if not overwrite:
            raise OutputError(f"{path}: File exists")

    def delete(self, path: str) -> None:
        """Remove a file, or a folder with all that is in it."""
        try:
            files = self._files
            if self.is_link(path):
                files.rm_file(path)
            elif _MAGIC.search(path):
                _remove_each(files, path)
            else:
                files.rm(path, recursive=True)
        except (FileNotFoundError, NotADirectoryError):
            pass
        except Exception as error:
            raise translate(error, path) from error


def _whole(files: Any, path: str, most: int, room: Room) -> bytes:
    """Return a whole file, or more than `most` bytes of it: what is expected, then ever more."""
    data = b""
    want = min(room.expected, most)
    while True:
        room.take(want)
        # One more tells whether there are more, and those then exist: not every one takes the
        # range behind the end.
        data += bytes(files.cat_file(path, start=len(data), end=want + 1))
        # Less: that was all. Much more: the server does not know ranges, and that was all, too.
        if len(data) != want + 1 or want >= most:
            return data
        data = data[:want]
        want = min(2 * want, most)


def _has_own_cat_file(files: Any) -> bool:
    """Whether a file system gives a whole file with one request; the general way opens it."""
    from fsspec.spec import AbstractFileSystem

    return getattr(files.cat_file, "__func__", None) is not AbstractFileSystem.cat_file


def _move(files: Any, temporary: str, path: str) -> None:
    """Rename, or copy and remove where the file system cannot rename."""
    from fsspec.spec import AbstractFileSystem

    # The general mv takes a path for a glob: `run[1]` would not be found.
    if type(files).mv is AbstractFileSystem.mv:
        files.cp_file(temporary, path)
        files.rm_file(temporary)
    else:
        files.mv(temporary, path)


def _remove_each(files: Any, path: str) -> None:
    """Remove a path that fsspec's rm would take for a glob, and would then remove others."""
    found = files.find(path, withdirs=True, detail=True)
    for name, entry in sorted(found.items(), reverse=True):
        with suppress(FileNotFoundError):  # a folder can vanish with its last file
            if entry["type"] == "directory":
                files.rmdir(name)
            else:
                files.rm_file(name)


def _info(path: str, entry: dict[str, Any]) -> FileInfo:
    size = int(entry.get("size") or 0)
    # memory:// gives a time in its list where info gives a date; the two must agree.
    marks = [
        str(mark.timestamp() if isinstance(mark, datetime) else mark)
        for key in _IDENTITY_KEYS
        if (mark := entry.get(key)) is not None
    ]
    times = [entry.get(key) for key in _TIME_KEYS]
    modified = next((at for time in times if (at := _seconds(time)) is not None), 0.0)
    identity = ":".join([str(size), *marks])
    return FileInfo(path, size, identity, entry.get("type") == "directory", modified)


def _seconds(time: object) -> float | None:
    if isinstance(time, datetime):
        return time.timestamp()
    return float(time) if isinstance(time, int | float) else None
