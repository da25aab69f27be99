"""Arrays with a value for each record: small ones in memory, large ones in files that are mapped.

A large one is a NumPy file in the cache folder, called after a SHA-256 of what it was made of. It
is written under another name first, and mapped read-only: so all processes of a machine share it,
and its pages are the kernel's, which takes them back when it needs memory. Behind the array stands
the SHA-256 of all before it, which each process compares once.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from reader.files.cache_home import cache_home
from shardio.cached_property import cached_property
from shardio.errors import DatasetError, MissingFileError, StorageError
from shardio.storage.folder_lock import try_lock, unlock
from shardio.storage.owner import Owner
from shardio.storage.temporary import final_name, temporary_name

# Up to so many bytes an array stays in memory, and travels with a pickled set.
SMALL_BYTES = 1_000_000
_KIND = "arrays"
_ENDING = ".npy"
# An array that no set has used for so long is removed when another one is written.
_UNUSED_SECONDS = 60 * 24 * 3600
# So long nobody has written to a file that a killed process has left half written.
_LEFT_SECONDS = 3600
_DIGEST_BYTES = 32
_PIECE = 1 << 22
# What NumPy raises for a file that is no array.
_DAMAGED = (ValueError, EOFError)
# Files that this process has compared.
_compared: set[tuple[object, ...]] = set()


@dataclass(frozen=True, repr=False)
class KeptArray:
    """An array, and the digest of what it was made of; `path` of a large one is its file."""

    digest: str
    path: str | None
    _small: NDArray[Any] | None = field(default=None, compare=False)

    @cached_property
    def array(self) -> NDArray[Any]:
        """The array, which must not be changed.

        Raises MissingFileError where the file of a set that came from another process is gone, and
        DatasetError where it is damaged.
        """
        if self._small is not None:
            return self._small
        assert self.path is not None
        try:
            return _mapped(self.path)
        except OSError as error:
            raise MissingFileError(
                f"{self.path}, an array that this set needs, cannot be read ({error}): it is of "
                "another machine, or was removed; make the set again here"
            ) from error
        except _DAMAGED as error:
            raise DatasetError(
                f"{self.path}, an array that this set needs, is damaged ({error}): open the set "
                "anew, and it is made again"
            ) from error

    def __getstate__(self) -> dict[str, Any]:
        """Return what another process needs: it maps the file itself."""
        return {name: value for name, value in vars(self).items() if name != "array"}


def keep_array(
    made_of: str,
    shape: tuple[int, ...],
    dtype: DTypeLike,
    fill: Callable[[NDArray[Any]], None],
    *,
    version: str = "",
) -> KeptArray:
    """Return the array that `made_of` names; `fill` writes it where it is not there yet.

    `made_of` says all that its values depend on, and `version` which bytes these were, where the
    same name may stand for others: the digest is the same for them, the file is not. Raises
    StorageError where the cache folder takes no file.
    """
    dtype = np.dtype(dtype)
    digest = hashlib.sha256(f"{made_of} {shape} {dtype.str}".encode()).hexdigest()
    if int(np.prod(shape)) * dtype.itemsize <= SMALL_BYTES:
        array = np.empty(shape, dtype)
        fill(array)
        array.flags.writeable = False
        return KeptArray(digest, None, array)
    name = hashlib.sha256(f"{digest} {version}".encode()).hexdigest()
    path = os.path.join(cache_home(_KIND), name + _ENDING)
    if _is_whole(path, shape, dtype):
        return KeptArray(digest, path)
    try:
        _write(path, shape, dtype, fill)
    except OSError as error:
        if isinstance(error, StorageError):
            raise
        raise StorageError(
            f"{path} cannot be written ({error}): let XDG_CACHE_HOME name a folder that takes files"
        ) from error
    return KeptArray(digest, path)


def _write(
    path: str, shape: tuple[int, ...], dtype: np.dtype[Any], fill: Callable[[NDArray[Any]], None]
) -> None:
    folder, name = os.path.split(path)
    os.makedirs(folder, exist_ok=True)
    _remove_unused(folder)
    temporary = os.path.join(folder, temporary_name(name, f"{os.getpid()}-{time.time_ns()}"))
    owner, lock = Owner(), None
    with suppress(OSError):  # some network file systems have no locks
        lock = try_lock(temporary)
    try:
        array = np.lib.format.open_memmap(temporary, "w+", dtype, shape)
        # Now: a disk that is full is a fault when a page of a sparse file is written.
        with open(temporary, "rb+") as file:
            os.posix_fallocate(file.fileno(), 0, os.path.getsize(temporary))
        fill(array)
        owner.check(path)
        array.flush()
        with open(temporary, "rb+") as file:
            digest = hashlib.file_digest(file, "sha256").digest()
            file.write(digest)
        os.replace(temporary, path)
    except BaseException:
        if owner.is_here:
            with suppress(FileNotFoundError):
                os.unlink(temporary)
        raise
    finally:
        if lock is not None and owner.is_here:
            unlock(lock)


def _mapped(path: str) -> NDArray[Any]:
    """Map a file, compared with its SHA-256 once; raises OSError, or one of _DAMAGED."""
    status = os.stat(path)
    # Whoever uses it changes the time of its modification, and nothing else.
    known = path, status.st_ino, status.st_size
    if known not in _compared:
        digest = hashlib.sha256()
        with open(path, "rb") as file:
            left = status.st_size - _DIGEST_BYTES
            while left > 0 and (piece := file.read(min(left, _PIECE))):
                digest.update(piece)
                left -= len(piece)
            if file.read() != digest.digest():
                raise ValueError("its SHA-256 differs")
        _compared.add(known)
    array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return array


def _is_whole(path: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
    """Whether a file is there and holds an array; one that is damaged is made again."""
    try:
        array = _mapped(path)
        with suppress(OSError):  # of another user, who keeps it
            os.utime(path)
    except (OSError, *_DAMAGED):
        return False
    return array.shape == shape and array.dtype == dtype


def _remove_unused(folder: str) -> None:
    """Remove arrays that are old, and what killed processes have left half written."""
    now = time.time()
    for entry in os.scandir(folder):
        with suppress(OSError):
            age = now - entry.stat().st_mtime
            if age > _UNUSED_SECONDS:
                os.unlink(entry.path)
            elif final_name(entry.name) is not None and age > _LEFT_SECONDS:
                lock = try_lock(entry.path)
                if lock is not None:
                    os.unlink(entry.path)
                    unlock(lock)
