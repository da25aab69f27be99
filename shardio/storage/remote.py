"""Any file system that fsspec knows: memory://, s3://, https://, ..."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from io import BytesIO
from typing import Any, BinaryIO, ClassVar, TypeVar, cast

from shardio.errors import (
    LoginError,
    MissingExtraError,
    MissingFileError,
    OutputError,
    StorageError,
    UnavailableError,
    UnknownStorageError,
    UnusableFileError,
)
from shardio.storage.call import leave
from shardio.storage.owner import Owner
from shardio.storage.passwords import refuse_password
from shardio.storage.paths import name_of
from shardio.storage.protocol import FileInfo, RangeReader
from shardio.storage.remote_call import LARGE, ask, ask_again
from shardio.storage.remote_files import FsspecRanges, FsspecStream
from shardio.storage.remote_info import info_of
from shardio.storage.temporary import temporary_name
from shardio.storage.whole import check_size, read_stream

T = TypeVar("T")

# A file whose size is not known gets no more time than one of so many bytes.
_PIECE_BYTES = 20_000_000
# What fsspec's own functions take for a pattern.
_MAGIC = re.compile(r"[*?\[]")


class _Found(threading.local):
    """The file systems that a thread has found, by process and root."""

    def __init__(self) -> None:
        self.files: dict[tuple[int, str], Any] = {}


_found = _Found()


class FsspecStorage:
    """The file system that a URL's scheme and host name, with fsspec's own configuration."""

    # Of the file system itself.
    _options: ClassVar[dict[str, Any]] = {}

    def __init__(self, root: str) -> None:
        refuse_password(root)
        self._root = root

    @property
    def _files(self) -> Any:
        # Finding one takes long, and some log in.
        key = (os.getpid(), self._root)
        files = _found.files.get(key)
        if files is None:
            files = ask(self._root, self._find, LARGE)
            if files.cachable:
                _found.files[key] = files
        return files

    def _ask(self, path: str, action: Callable[[Any], T], size: int = 0) -> T:
        """Call `action` with the file system, once."""
        files = self._files
        try:
            return ask(path, lambda: action(files), size)
        except (UnavailableError, KeyboardInterrupt):
            # The call may still go on, and not every file system may be asked by two at once.
            _found.files.pop((os.getpid(), self._root), None)
            raise

    def _ask_again(self, path: str, action: Callable[[Any], T]) -> T:
        """Call `action` with the file system, again while it is unavailable."""
        return ask_again(path, lambda: self._ask(path, action))

    def _find(self) -> Any:
        # Imported here: `import fsspec` costs 50 ms that a local run need not pay.
        import fsspec.core

        try:
            # fsspec's own cache knows a file system by the thread that made it, which ends here.
            options = {**self._options, "skip_instance_cache": True}
            return fsspec.core.url_to_fs(self._root, **options)[0]
        except ImportError as error:
            raise MissingExtraError(
                f"{self._root} needs a package that is not installed: {error}"
            ) from error
        except ValueError as error:
            raise UnknownStorageError(f"{self._root} is not a known storage: {error}") from error

    def list(self, folder: str) -> list[FileInfo]:
        """List the files and folders in `folder`."""

        def entries_of(files: Any) -> Any:
            files.invalidate_cache(folder)
            return files.ls(folder, detail=True), str(files._strip_protocol(folder)).rstrip("/")

        try:
            entries, itself = self._ask_again(folder, entries_of)
        except MissingFileError:
            return []
        base = folder if folder.endswith("/") else f"{folder}/"
        # Some file systems list a folder, or a file, as being in itself.
        names = ((entry["name"].rstrip("/"), entry) for entry in entries)
        found = [info_of(base + name_of(name), entry) for name, entry in names if name != itself]
        return sorted(found, key=lambda info: info.path)

    def names(self, folder: str) -> Iterator[tuple[str, bool]]:
        """Yield the name of each file and folder, all at once: fsspec lists no piece of them."""
        return ((name_of(info.path), info.is_folder) for info in self.list(folder))

    def stat(self, path: str) -> FileInfo:
        """Return size and identity."""

        def info(files: Any) -> FileInfo:
            files.invalidate_cache(path.rpartition("/")[0])
            return self._info(path, files.info(path))

        return self._ask_again(path, info)

    def _info(self, path: str, entry: dict[str, Any]) -> FileInfo:
        return info_of(path, entry)

    def is_link(self, path: str) -> bool:
        """Whether `path` itself is a symbolic link, where the file system has such."""
        try:
            entry = self._ask_again(path, lambda files: files.info(path))
        except MissingFileError:
            return False
        return bool(entry.get("islink")) or entry.get("type") == "link"

    def open_ranges(self, path: str) -> RangeReader:
        """Open a file for reading at any byte."""
        # By default fsspec reads 5 MB ahead of each read, for records of a few kilobytes.
        return FsspecRanges(path, partial(self._open, path, cache_type="none"))

    def open_stream(self, path: str) -> BinaryIO:
        """Open a file for reading."""
        return cast(BinaryIO, FsspecStream(path, self._open(path)))

    def read_file(self, path: str, max_bytes: int) -> bytes:
        """Return a whole file with one request, where the file system lets it."""

        def whole(files: Any) -> bytes:
            # One byte more tells whether there are more.
            return bytes(files.cat_file(path, start=0, end=max_bytes + 1))

        try:
            if not _has_own_cat_file(self._files):
                raise NotImplementedError
            data = self._ask(path, whole, min(max_bytes, _PIECE_BYTES))
        except (MissingFileError, UnavailableError, LoginError):
            raise
        except (NotImplementedError, StorageError):
            # Not every one takes a range, or that of an empty file. A real error comes again.
            # By default a file is read 5 MB ahead.
            with FsspecStream(path, file := self._open(path, cache_type="none")) as stream:
                size = getattr(file, "size", None)
                if not isinstance(size, int):
                    return read_stream(cast(BinaryIO, stream), path, max_bytes)
                check_size(size, path, max_bytes)
                return stream.read(size)
        check_size(len(data), path, max_bytes)
        return data

    def _open(self, path: str, **options: Any) -> Any:

        def opened(files: Any) -> Any:
            try:
                return files.open(path, "rb", **options)
            except TypeError:  # not every file system has the option
                return files.open(path, "rb")
            except FileExistsError as error:  # memory:// says so of a path below a file
                raise MissingFileError(f"{path}: No such file or directory") from error

        file = self._ask(path, opened)
        # memory:// hands out one object, with one position, to all who open a file.
        return BytesIO(file.getvalue()) if isinstance(file, BytesIO) else file

    @contextmanager
    def publish(self, path: str, *, attempt: str, overwrite: bool = True) -> Iterator[BinaryIO]:
        """Write a file that appears whole or not at all."""
        folder, _, name = path.rpartition("/")
        temporary = f"{folder}/{temporary_name(name, attempt)}"

        def begin(files: Any) -> Any:
            if folder.rpartition("/")[0]:  # a scheme alone has no folder to make
                files.makedirs(folder, exist_ok=True)
            return files.open(temporary, "wb")

        owner = Owner()
        file = FsspecStream(path, self._ask(path, begin), owner)

        def give_up() -> None:
            if not file.closed:
                file.discard()
            with suppress(StorageError):
                owner.check(path)
                self._ask(path, lambda files: files.rm_file(temporary))

        try:
            yield cast(BinaryIO, file)
            owner.check(path)
            file.close()
            self._check_target(path, overwrite)
            self._ask(path, lambda files: _move(files, temporary, path), LARGE)
        except GeneratorExit:  # nobody writes any more
            leave(give_up)
            raise
        except BaseException:
            give_up()
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
        is_link = self.is_link(path)

        def remove(files: Any) -> None:
            if is_link:
                files.rm_file(path)
            elif _MAGIC.search(path):
                _remove_each(files, path)
            else:
                files.rm(path, recursive=True)

        with suppress(MissingFileError):
            self._ask(path, remove, LARGE)


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
