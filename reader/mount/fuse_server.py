"""A folder of any storage served through FUSE. The only file that imports mfusepy."""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from reader.mount.access import access_of
from reader.mount.mount_point import device_of, other_ways
from reader.mount.mounted_folder import MountedFolder
from shardio.errors import (
    MissingExtraError,
    MissingFileError,
    MountError,
    ShardioError,
    UnusableFileError,
)
from shardio.storage import FileInfo
from shardio.storage.waiting import interrupted_by

os.environ.setdefault("FUSE_LIBRARY_NAME", "fuse3")
try:
    import mfusepy
except ImportError as error:
    raise MissingExtraError(
        f"mounting needs mfusepy: it comes with shardio's extra [mount]. {other_ways()}"
    ) from error
except OSError as error:
    raise MountError(
        f"libfuse3 is missing: install Debian's package fuse3 ({error}). {other_ways()}"
    ) from error

Say = Callable[[str], object]

# The kernel asks for so much at once where a program reads in sequence. Its own limit is 128 KiB,
# and root may raise it.
_KERNEL_AHEAD = 1 << 20
_THREADS = 16
_USER = re.compile(r"//[^/@]*@")


class FolderOperations(mfusepy.Operations):  # type: ignore[misc]
    """What the kernel asks of a read-only file system."""

    use_ns = True

    def __init__(self, folder: MountedFolder, point: str, say: Say) -> None:
        self._folder = folder
        self._point = point
        self._errors = _Errors(say)
        self._owner = os.getuid(), os.getgid()
        self.began = False

    def init_with_config(self, connection: Any, config: Any) -> None:
        """Note that the folder is mounted, and ask the kernel to read larger pieces."""
        self.began = True
        device = device_of(self._point)
        with suppress(OSError):  # without root, pieces stay small
            if device is not None:
                with open(f"/sys/class/bdi/{device}/read_ahead_kb", "w") as limit:
                    limit.write(str(_KERNEL_AHEAD >> 10))
                connection.max_readahead = _KERNEL_AHEAD

    def getattr(self, path: str, fh: Any = None) -> dict[str, Any]:
        """Return what stat shows."""
        with self._errors():
            return self._attributes(path, self._folder.stat(path))
        raise AssertionError("unreachable")

    def _attributes(self, path: str, info: FileInfo | None) -> dict[str, Any]:
        is_folder = info is None or info.is_folder
        time = int((info.modified if info else 0) * 1e9)
        size = 0 if info is None or is_folder else info.size
        access = access_of(info)
        return {
            "st_mode": (stat.S_IFDIR if is_folder else stat.S_IFREG) | access.mode,
            "st_nlink": 2 if is_folder else 1,
            "st_size": size,
            "st_blocks": -(-size // 512),
            "st_ino": _number(path, "" if info is None or is_folder else info.identity),
            "st_uid": self._owner[0] if access.uid is None else access.uid,
            "st_gid": self._owner[1] if access.gid is None else access.gid,
            "st_mtime": time,
            "st_ctime": time,
            "st_atime": time,
        }

    def readdir(self, path: str, fh: Any) -> list[Any]:
        """Return what is in a folder: the kernel leaves out what has no inode number."""
        with self._errors():
            inner = path.rstrip("/")
            itself = self._folder.stat(path)
            entries: dict[str, tuple[str, FileInfo | None]] = {
                ".": (path, itself),
                "..": (path, itself),
            }
            for name, info in self._folder.list(path).items():
                entries[name] = f"{inner}/{name}", info
            return [(name, self._attributes(*entry), 0) for name, entry in entries.items()]
        raise AssertionError("unreachable")

    def open(self, path: str, fi: Any) -> int:
        """Open a file for reading."""
        if fi.flags & (os.O_WRONLY | os.O_RDWR):
            raise mfusepy.FuseOSError(errno.EROFS)
        with self._errors():
            opened = self._folder.open(path)
            fi.fh = opened.handle
            # Pages of a file stay in the kernel's cache while it is the same one.
            fi.keep_cache = opened.is_same
            if not opened.is_known:
                _forget_attributes(path)
        return 0

    def read(self, memory: NDArray[np.uint8], offset: int, fi: Any) -> int:
        """Fill memory from a file; returns how many bytes. Only `_Fuse` calls it so."""
        with self._errors():
            return self._folder.read_into(fi.fh, offset, memory)
        raise AssertionError("unreachable")

    def release(self, path: str, fi: Any) -> int:
        """Close a file."""
        with self._errors():
            self._folder.close(fi.fh)
        return 0

    def statfs(self, path: str) -> dict[str, int]:
        """Say nothing of the space: it is not ours."""
        return {"f_bsize": 4096, "f_namemax": 255}


def _number(path: str, identity: str) -> int:
    """Return an inode number: the same each time, and another one for a file that took its place.

    Our reader and others tell files apart by it.
    """
    text = f"{path}\0{identity}".encode(errors="surrogateescape")
    return int.from_bytes(hashlib.sha256(text).digest()[:7], "big") | 1


def _forget_attributes(path: str) -> None:
    """Make the kernel ask for the size of a file again: the one it knows is of an older file."""
    library = mfusepy._libfuse
    with suppress(AttributeError):  # libfuse before 3.2 cannot; it asks within some seconds
        fuse = library.fuse_get_context().contents.fuse
        library.fuse_invalidate_path(ctypes.c_void_p(fuse), os.fsencode(path))


class _Fuse(mfusepy.FUSE):  # type: ignore[misc]
    """Hands requests of the kernel on, and lets reads fill its own memory."""

    def read(self, path: bytes | None, buf: Any, size: int, offset: int, fip: Any) -> int:
        """Fill `buf`, a pointer to `size` bytes."""
        memory = np.ctypeslib.as_array(buf, (size,)).view(np.uint8)
        count: int = self.operations.read(memory, offset, fip.contents)
        return count


def _is_interrupted() -> bool:
    """Whether the program whose request this thread handles got a signal."""
    return bool(mfusepy._libfuse.fuse_interrupted())


class _Errors:
    """Turns errors into numbers, which is all that FUSE knows, and reports them in words.

    A program that gets a signal while its request waits for storage is answered at once.
    """

    def __init__(self, say: Say) -> None:
        self._say = say
        self._said = ""

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Handle one request of the kernel."""
        try:
            with interrupted_by(_is_interrupted):
                yield
        except KeyboardInterrupt:
            raise mfusepy.FuseOSError(errno.EINTR) from None
        except BaseException as error:
            self._raise(error)

    def _raise(self, error: BaseException) -> NoReturn:
        if isinstance(error, MissingFileError):
            raise mfusepy.FuseOSError(errno.ENOENT) from None
        # Any other error too: what goes through to FUSE would end the mount.
        text = str(error) if isinstance(error, ShardioError) else repr(error)
        if text != self._said:  # programs try again and again
            self._said = text
            self._say(text)
        number = errno.EACCES if isinstance(error, UnusableFileError) else errno.EIO
        raise mfusepy.FuseOSError(number) from None


def serve(folder: MountedFolder, point: str, say: Say, *, allow_other: bool) -> None:
    """Mount a folder and serve it until it is unmounted.

    `say` gets what could not be read; the program that wanted it sees an I/O error. Raises
    MountError where FUSE refuses to mount.
    """
    # Without the second one libfuse complains of its own default.
    options: dict[str, Any] = {"allow_other": allow_other, "max_idle_threads": _THREADS}
    # Then the kernel checks users against modes and owners; this process could not.
    options["default_permissions"] = allow_other
    if mfusepy.fuse_version_minor >= 12:
        options["max_threads"] = _THREADS
    operations = FolderOperations(folder, point, say)
    source = _USER.sub("//", folder.url).replace("\\", "\\\\").replace(",", "\\,")
    try:
        _Fuse(
            operations,
            point,
            raw_fi=True,
            foreground=True,
            fsname=source,
            subtype="shardio",
            ro=True,
            use_ino=True,
            attr_timeout=folder.fresh_seconds,
            entry_timeout=folder.fresh_seconds,
            **options,
        )
    except RuntimeError as error:
        if not operations.began:
            raise MountError(
                f"{point}: FUSE refused to mount (code {error}); what it said is above. "
                f"{other_ways(folder.url)}"
            ) from error
    finally:
        folder.end()
