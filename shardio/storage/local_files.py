"""Open files of this machine, with errors of ours."""

from __future__ import annotations

import errno
import io
import os
import stat
from contextlib import suppress
from typing import Any

from shardio.errors import MissingFileError, OutputError, StorageError, UnusableFileError
from shardio.storage.owner import Owner
from shardio.storage.protocol import Access, FileInfo

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
_ADVISED = 128 << 10


class LocalStream(io.FileIO):
    """A file read from its start to its end, with errors of ours."""

    def __init__(self, path: str, descriptor: int) -> None:
        super().__init__(descriptor, "rb")
        self._path = path

    def read(self, size: int | None = -1, /) -> bytes:
        """Read at most `size` bytes."""
        with translated(self._path):
            return super().read(-1 if size is None else size)

    def readall(self) -> bytes:
        """Read to the end."""
        with translated(self._path):
            return super().readall()

    def readinto(self, buffer: Any, /) -> int:
        """Read into a buffer."""
        with translated(self._path):
            return super().readinto(buffer)


class OwnFile(io.FileIO):
    """A new file; what is in its buffer is written once, and not by a fork, too."""

    def __init__(self, path: str, owner: Owner) -> None:
        super().__init__(path, "xb")
        self._path = path
        self._owner = owner

    def write(self, data: Any, /) -> int:
        """Write some of `data`; raises StorageError in a fork."""
        self._owner.check(self._path)
        return super().write(data)


class LocalRanges:
    """A file descriptor read with preadv, which moves no file position: threads share it."""

    def __init__(self, path: str, descriptor: int) -> None:
        self._path = path
        self.descriptor = descriptor

    @property
    def identity(self) -> str:
        """What tells the open file from others."""
        return info_of(self._path, os.fstat(self.descriptor)).identity

    def read_into(self, offset: int, memory: memoryview) -> int:
        """Fill `memory` from byte `offset`."""
        done = 0
        try:
            # Nearly always once: a regular file is read short at its end only.
            while done < len(memory):
                count = os.preadv(self.descriptor, [memory[done:]], offset + done)
                if not count:
                    break
                done += count
        except OSError as error:
            raise translate(error, f"{self._path}, byte {offset}") from error
        return done

    def advise(self, offset: int, size: int) -> None:
        """Ask the kernel to read ahead, unless it has the bytes already."""
        # Not the first and the last byte: they share pages with what is beside them.
        places = (offset + size * eighth // 8 for eighth in (1, 3, 5, 7))
        if size > _ADVISED and all(map(self._is_cached, places)):
            return
        with suppress(OSError):
            # Of a longer piece the kernel reads the start only.
            for start in range(offset, offset + size, _ADVISED):
                length = min(_ADVISED, offset + size - start)
                os.posix_fadvise(self.descriptor, start, length, os.POSIX_FADV_WILLNEED)

    def _is_cached(self, offset: int) -> bool:
        """Whether the kernel has a byte in its cache, as far as it says."""
        try:
            return os.preadv(self.descriptor, [bytearray(1)], offset, os.RWF_NOWAIT) == 1
        except OSError:
            return False

    def close(self) -> None:
        """Close the descriptor."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def __del__(self) -> None:
        self.close()


class translated:
    """Raise errors of the operating system in the block as ours, naming the path.

    Entered for every image; a generator would take a few times as long.
    """

    __slots__ = ("_path",)

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None or isinstance(error, StorageError | OutputError):
            return
        if isinstance(error, OSError | ValueError):
            raise translate(error, self._path) from error


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


def info_of(path: str, status: os.stat_result) -> FileInfo:
    """Return what is known of a path whose status was asked for."""
    identity = f"{status.st_ino}:{status.st_size}:{status.st_mtime_ns}"
    is_folder = stat.S_ISDIR(status.st_mode)
    access = Access(stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid)
    return FileInfo(path, status.st_size, identity, is_folder, status.st_mtime, access)


def open_regular(path: str, folder: int | None = None, name: str | None = None) -> int:
    """Open a regular file and return its descriptor; raises UnusableFileError for anything else.

    With the descriptor of a folder, the file is the one called `name` there, and no link.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (os.O_NOFOLLOW if name else 0)
    with translated(path):
        descriptor = os.open(name or path, flags, dir_fd=folder)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UnusableFileError(f"{path}: not a regular file")
    return descriptor
