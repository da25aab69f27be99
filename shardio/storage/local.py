"""A folder of this machine."""

from __future__ import annotations

import errno
import io
import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO, cast

from shardio.errors import MissingFileError, OutputError, StorageError, UnusableFileError
from shardio.storage.protocol import FileInfo, RangeReader
from shardio.storage.temporary import temporary_name
from shardio.storage.whole import ROOM, Room, check_size, read_stream

# The path is wrong or closed to us, and it will be the same on the next try.
_UNUSABLE = {
    errno.EACCES,
    errno.EPERM,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.EINVAL,
    errno.ENXIO,
}
# The kernel takes at most this many buffers a call (IOV_MAX).
_MAX_BUFFERS = 1024
# Large enough that a shard is written in few calls, small enough to stay in the cache.
_WRITE_BUFFER = 1 << 20
_ADVISED = 128 << 10


class LocalStorage:
    """Files of this machine, also those of a mount."""

    def list(self, folder: str) -> list[FileInfo]:
        """List the files and folders in `folder`."""
        found = []
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    try:
                        status = entry.stat()
                    except OSError as error:
                        if error.errno in (errno.ENOENT, errno.ELOOP):
                            continue  # a link to nowhere or to itself, or gone since
                        raise
                    found.append(_info(os.path.join(folder, entry.name), status))
        except (FileNotFoundError, NotADirectoryError):
            return []
        except (OSError, ValueError) as error:
            raise translate(error, folder) from error
        return sorted(found, key=lambda info: info.path)

    def stat(self, path: str) -> FileInfo:
        """Return size and identity."""
        try:
            return _info(path, os.stat(path))
        except (OSError, ValueError) as error:
            raise translate(error, path) from error

    def open_ranges(self, path: str) -> RangeReader:
        """Open a file for reading at any byte."""
        return LocalRanges(path, _open_regular(path))

    def open_stream(self, path: str) -> BinaryIO:
        """Open a file for reading; unbuffered, so read large pieces."""
        return cast(BinaryIO, _LocalStream(path, _open_regular(path)))

    def read_file(self, path: str, most: int, room: Room = ROOM) -> bytes:
        """Return a whole file, at once."""
        descriptor = _open_regular(path)
        try:
            size = os.fstat(descriptor).st_size
            check_size(size, path, most)
            room.take(size)
            data = os.read(descriptor, size + 1)
            if len(data) != size:  # it grows, or is one whose size is not known
                with _LocalStream(path, os.dup(descriptor)) as rest:
                    data += read_stream(cast(BinaryIO, rest), path, most - len(data), room)
            return data
        except OSError as error:
            if isinstance(error, StorageError):
                raise
            raise translate(error, path) from error
        finally:
            os.close(descriptor)

    @contextmanager
    def publish(self, path: str, *, attempt: str, overwrite: bool = True) -> Iterator[BinaryIO]:
        """Write a file that appears whole or not at all."""
        folder, name = os.path.split(path)
        folder = folder or "."
        temporary = os.path.join(folder, temporary_name(name, attempt))
        try:
            os.makedirs(folder, exist_ok=True)
            file = open(temporary, "xb", buffering=_WRITE_BUFFER)  # noqa: SIM115
        except (OSError, ValueError) as error:
            raise translate(error, path) from error
        try:
            try:
                yield file
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
            with suppress(OSError):
                os.unlink(temporary)
            if isinstance(error, OSError) and not isinstance(error, StorageError | OutputError):
                raise translate(error, path) from error
            raise

    def delete(self, path: str) -> None:
        """Remove a file, or a folder with all that is in it."""
        try:
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path)
            else:
                os.unlink(path)
        except (FileNotFoundError, NotADirectoryError):
            pass
        except (OSError, ValueError) as error:
            raise translate(error, path) from error


class _LocalStream(io.FileIO):
    """A file read from its start to its end, with errors of ours."""

    def __init__(self, path: str, descriptor: int) -> None:
        super().__init__(descriptor, "rb")
        self._path = path

    def read(self, size: int | None = -1, /) -> bytes:
        """Read at most `size` bytes."""
        try:
            return super().read(-1 if size is None else size)
        except OSError as error:
            raise translate(error, self._path) from error

    def readall(self) -> bytes:
        """Read to the end."""
        try:
            return super().readall()
        except OSError as error:
            raise translate(error, self._path) from error

    def readinto(self, buffer: Any, /) -> int:
        """Read into a buffer."""
        try:
            return super().readinto(buffer)
        except OSError as error:
            raise translate(error, self._path) from error


class LocalRanges:
    """A file descriptor read with preadv, which moves no file position: threads share it."""

    def __init__(self, path: str, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    def read_into(self, offset: int, buffers: Sequence[memoryview], size: int) -> int:
        """Fill `buffers` in turn from byte `offset`."""
        try:
            if len(buffers) <= _MAX_BUFFERS:
                done = os.preadv(self._descriptor, buffers, offset)
                if done == size:  # nearly always: a regular file is read short at its end only
                    return done
            return self._read_rest(offset, buffers)
        except OSError as error:
            raise translate(error, f"{self._path}, byte {offset}") from error

    def read_pieces(self, offset: int, size: int) -> list[memoryview]:
        """Return bytes, in one piece."""
        memory = memoryview(bytearray(size))
        return [memory[: self.read_into(offset, [memory], size)]]

    def _read_rest(self, offset: int, buffers: Sequence[memoryview]) -> int:
        done = 0
        for buffer in buffers:
            at = 0
            while at < len(buffer):
                count = os.preadv(self._descriptor, [buffer[at:]], offset + done)
                if count == 0:
                    return done
                at += count
                done += count
        return done

    def advise(self, offset: int, size: int) -> None:
        """Let the kernel begin to read, unless it has done so already."""
        # Not the first and the last byte: they share pages with what is beside them.
        places = (offset + size * eighth // 8 for eighth in (1, 3, 5, 7))
        if size > _ADVISED and all(map(self._is_cached, places)):
            return
        with suppress(OSError):
            # Of a longer piece the kernel reads the start only.
            for start in range(offset, offset + size, _ADVISED):
                length = min(_ADVISED, offset + size - start)
                os.posix_fadvise(self._descriptor, start, length, os.POSIX_FADV_WILLNEED)

    def _is_cached(self, offset: int) -> bool:
        """Whether the kernel has a byte in its cache, as far as it says."""
        try:
            return os.preadv(self._descriptor, [bytearray(1)], offset, os.RWF_NOWAIT) == 1
        except OSError:
            return False

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._descriptor

    def close(self) -> None:
        """Close the descriptor."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def translate(error: OSError | ValueError, path: str) -> Exception:
    """Turn an operating system's error into ours, naming the path."""
    if not isinstance(error, OSError):  # an embedded null byte
        return UnusableFileError(f"{path!r}: {error}")
    reason = error.strerror or str(error)
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return MissingFileError(f"{path}: {reason}")
    if error.errno == errno.EEXIST:
        return OutputError(f"{path}: {reason}")
    if error.errno in _UNUSABLE:
        return UnusableFileError(f"{path}: {reason}")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        reason += " (free some space; what is finished is kept)"
    return StorageError(f"{path}: {reason}")


def _info(path: str, status: os.stat_result) -> FileInfo:
    identity = f"{status.st_ino}:{status.st_size}:{status.st_mtime_ns}"
    is_folder = stat.S_ISDIR(status.st_mode)
    return FileInfo(path, status.st_size, identity, is_folder, status.st_mtime)


def _open_regular(path: str) -> int:
    """Open a regular file; anything else could block for ever or never end."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise translate(error, path) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UnusableFileError(f"{path}: not a regular file")
    return descriptor


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
