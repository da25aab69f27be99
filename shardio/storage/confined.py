"""A folder of this machine out of which no link leads."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace

from shardio.errors import MissingFileError, UnusableFileError
from shardio.storage.local import LocalStorage
from shardio.storage.local_files import info_of, open_regular, translated
from shardio.storage.paths import name_of
from shardio.storage.protocol import FileInfo

_LISTS = ("system.posix_acl_access", "system.nfs4_acl")


class ConfinedStorage(LocalStorage):
    """The files below `folder`; paths are whole, as those of all storages.

    A link to a file below the folder is that file, and any other one leads nowhere. Links are
    resolved once, and what they led to is opened without following any: one that is swapped in
    meanwhile is an error.

    An access control list may close a file to some whom its mode lets in, so the mode of a file
    that has one is said to be for its owner only.
    """

    def __init__(self, folder: str) -> None:
        self._folder = os.path.realpath(folder)

    def list(self, folder: str) -> list[FileInfo]:
        """List the files and folders in `folder`, without links that lead out."""
        names: Sequence[str] = ()
        with suppress(MissingFileError), self._walk(folder) as (inner, name):
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
            descriptor = os.open(name, flags, dir_fd=inner)
            try:
                names = os.listdir(descriptor)
            finally:
                os.close(descriptor)
        found = []
        for entry in sorted(names):
            with suppress(UnusableFileError, FileNotFoundError):
                found.append(self.stat(os.path.join(folder, entry)))
        return sorted(found, key=lambda info: info.path)

    def names(self, folder: str) -> Iterator[tuple[str, bool]]:
        """Yield the name of each file and folder in `folder`, and whether it is a folder."""
        for info in self.list(folder):
            yield name_of(info.path), info.is_folder

    def stat(self, path: str) -> FileInfo:
        """Return size and identity; raises MissingFileError for a link that leads nowhere."""
        with self._walk(path) as (inner, name):
            status = os.stat(name, dir_fd=inner, follow_symlinks=False)
            has_list = _has_list(inner, name)
        if stat.S_ISLNK(status.st_mode):
            raise MissingFileError(f"{path} is a link that leads nowhere")
        info = info_of(path, status)
        if has_list and info.access is not None:
            return replace(info, access=replace(info.access, mode=info.access.mode & 0o700))
        return info

    def _open(self, path: str) -> int:
        with self._walk(path) as (inner, name):
            return open_regular(path, inner, name)

    @contextmanager
    def _walk(self, path: str) -> Iterator[tuple[int, str]]:
        """Yield a descriptor of the folder that holds what `path` leads to, and the name in it."""
        with translated(path):  # a name that no file can have
            real = os.path.realpath(path)
        if real != self._folder and not real.startswith(self._folder.rstrip("/") + "/"):
            raise MissingFileError(
                f"{path} leads out of {self._folder}, to {real}; put the file itself there"
            )
        *parts, name = real.strip("/").split("/") if real != "/" else ["."]
        flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        with translated(path):
            descriptor = os.open("/", flags)
            try:
                for part in parts:
                    before, descriptor = descriptor, os.open(part, flags, dir_fd=descriptor)
                    os.close(before)
                yield descriptor, name
            finally:
                os.close(descriptor)


def _has_list(folder: int, name: str) -> bool:
    """Whether a file has an access control list."""
    try:
        names = os.listxattr(f"/proc/self/fd/{folder}/{name}", follow_symlinks=False)
    except OSError:
        return False  # its file system has none
    return any(name in _LISTS for name in names)
