"""A folder of this machine."""

from __future__ import annotations

import errno
import io
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO, cast

from shardio.errors import OutputError, StorageError
from shardio.storage.local_files import (
    LocalRanges,
    LocalStream,
    OwnFile,
    info_of,
    open_regular,
    translate,
    translated,
)
from shardio.storage.owner import Owner
from shardio.storage.protocol import FileInfo, RangeReader
from shardio.storage.temporary import temporary_name
from shardio.storage.whole import check_size, read_stream

# Large enough that a shard is written in few calls. For larger writes the kernel takes memory in
# large pieces, which a virtual machine's host may have to give anew: twice its time was seen.
_WRITE_BUFFER = 128 << 10
_NO_FOLDER = FileNotFoundError, NotADirectoryError


class LocalStorage:
    """Files of this machine, also those of a mount."""

    def list(self, folder: str) -> list[FileInfo]:
        """List the files and folders in `folder`."""
        found = []
        with translated(folder), suppress(*_NO_FOLDER), os.scandir(folder) as entries:
            for entry in entries:
                try:
                    status = entry.stat()
                except OSError as error:
                    if error.errno in (errno.ENOENT, errno.ELOOP):
                        continue  # a link to nowhere or to itself, or gone since
                    raise
                found.append(info_of(os.path.join(folder, entry.name), status))
        return sorted(found, key=lambda info: info.path)

    def names(self, folder: str) -> Iterator[tuple[str, bool]]:
        """Yield the name of each file and folder in `folder`, and whether it is a folder."""
        with translated(folder), suppress(*_NO_FOLDER), os.scandir(folder) as entries:
            for entry in entries:
                is_folder = entry.is_dir()
                # What is neither is a link to nowhere, a pipe or a socket.
                if is_folder or entry.is_file():
                    yield entry.name, is_folder

    def stat(self, path: str) -> FileInfo:
        """Return size and identity."""
        with translated(path):
            return info_of(path, os.stat(path))

    def is_link(self, path: str) -> bool:
        """Whether `path` itself is a symbolic link."""
        return os.path.islink(path)

    def open_ranges(self, path: str) -> RangeReader:
        """Open a file for reading at any byte."""
        return LocalRanges(path, self._open(path))

    def open_stream(self, path: str) -> BinaryIO:
        """Open a file for reading; unbuffered, so read large pieces."""
        return cast(BinaryIO, LocalStream(path, self._open(path)))

    def read_file(self, path: str, max_bytes: int) -> bytes:
        """Return a whole file, at once."""
        descriptor = self._open(path)
        try:
            with translated(path):
                size = os.fstat(descriptor).st_size
                check_size(size, path, max_bytes)
                data = os.read(descriptor, size + 1)
                if len(data) != size:  # it grows, or is one whose size is not known
                    with LocalStream(path, os.dup(descriptor)) as rest:
                        data += read_stream(cast(BinaryIO, rest), path, max_bytes - len(data))
                return data
        finally:
            os.close(descriptor)

    def _open(self, path: str) -> int:
        """Open a regular file; returns its descriptor."""
        return open_regular(path)

    @contextmanager
    def publish(self, path: str, *, attempt: str, overwrite: bool = True) -> Iterator[BinaryIO]:
        """Write a file that appears whole or not at all."""
        folder, name = os.path.split(path)
        folder = folder or "."
        temporary = os.path.join(folder, temporary_name(name, attempt))
        _refuse_special(path, folder)
        with translated(path):
            os.makedirs(folder, exist_ok=True)
            owner = Owner()
            file = io.BufferedWriter(OwnFile(temporary, owner), _WRITE_BUFFER)
        try:
            try:
                yield file
                owner.check(path)
                file.flush()
                os.fsync(file.fileno())
            finally:
                # A full disk may show here only; the first error is the one to report.
                with suppress(OSError):
                    file.close()
            if overwrite:
                os.replace(temporary, path)
            else:
                os.link(temporary, path)
                os.unlink(temporary)
            _sync_folder(folder)
        except BaseException as error:
            if owner.is_here:
                with suppress(OSError):
                    os.unlink(temporary)
            if isinstance(error, OSError) and not isinstance(error, StorageError | OutputError):
                raise translate(error, path) from error
            raise

    def delete(self, path: str) -> None:
        """Remove a file, or a folder with all that is in it."""
        with translated(path), suppress(*_NO_FOLDER):
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path)
            else:
                os.unlink(path)


def _refuse_special(path: str, folder: str) -> None:
    """Raise OutputError for a device or a pipe, in whose place a rename would put a file."""
    is_special = False
    with suppress(OSError, ValueError):  # which the caller meets, too, and tells
        real = os.path.realpath(folder)
        is_special = real == "/dev" or real.startswith("/proc/")  # there /dev/stdout is a link
        mode = os.stat(path).st_mode
        is_special = is_special or not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))
    if is_special:
        raise OutputError(f"{path} is a device or a pipe; name a file")


def _sync_folder(folder: str) -> None:
    """Make a rename durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network and FUSE file systems cannot sync a folder; the rename stands.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(descriptor)
