"""Images within tar and zip archives, named as `archive.tar::name`.

Each process opens an archive once, and keeps a few of them open.
"""

from __future__ import annotations

import os
import tarfile
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import BinaryIO

from shardio.errors import MissingFileError, StorageError, UnusableFileError
from shardio.storage import storage_for

SEPARATOR = "::"
_OPEN = 8

Members = dict[str, tuple[int, Callable[[], bytes]]]


class Archive:
    """An open archive: its members by name."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._turn = Lock()
        self._file: BinaryIO = storage_for(path).open_stream(path)
        try:
            self._members = _of_zip(self._file) if _is_zip(path) else _of_tar(self._file)
        except (tarfile.TarError, zipfile.BadZipFile, EOFError, ValueError) as error:
            self._file.close()
            raise UnusableFileError(
                f"{path}: not a whole tar or zip archive ({error}); a compressed tar has to be "
                "decompressed first"
            ) from error
        except BaseException:
            self._file.close()
            raise

    def read(self, name: str, most: int) -> bytes:
        """Return the bytes of a member, of at most `most` bytes."""
        member = self._members.get(_normal(name))
        if member is None:
            raise MissingFileError(f"{self.path}{SEPARATOR}{name}: no such member")
        size, read = member
        if size > most:
            raise UnusableFileError(
                f"{self.path}{SEPARATOR}{name}: the file is larger than {most:,} bytes"
            )
        try:
            with self._turn:
                return read()
        except (tarfile.TarError, zipfile.BadZipFile, EOFError, ValueError) as error:
            raise UnusableFileError(f"{self.path}{SEPARATOR}{name}: damaged: {error}") from error
        # A kind of compression or encryption that Python does not have.
        except (NotImplementedError, RuntimeError) as error:
            raise UnusableFileError(f"{self.path}{SEPARATOR}{name}: {error}") from error

    def close(self) -> None:
        """Close the file, when nobody reads from it."""
        with self._turn:
            self._file.close()


class Archives:
    """The archives that this process has open."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, Archive | StorageError] = OrderedDict()
        self._turn = Lock()

    def read(self, location: str, most: int) -> bytes:
        """Return the bytes of `archive::name`."""
        path, _, name = location.partition(SEPARATOR)
        with self._turn:
            archive = self._open.pop(path, None)
            if archive is None:
                try:
                    archive = Archive(path)
                except (MissingFileError, UnusableFileError) as error:
                    archive = error  # nor is it opened again for each of its images
            self._open[path] = archive
            oldest = self._open.popitem(last=False)[1] if len(self._open) > _OPEN else None
        if isinstance(oldest, Archive):
            oldest.close()
        if isinstance(archive, MissingFileError):
            raise MissingFileError(str(archive))
        if isinstance(archive, StorageError):
            raise UnusableFileError(str(archive))
        return archive.read(name, most)


_of_process: tuple[int, Archives] | None = None


def read_member(location: str, most: int) -> bytes:
    """Return the bytes of `archive::name`, at most `most`.

    Raises MissingFileError where archive or member are not there, UnusableFileError where they are
    damaged.
    """
    global _of_process
    if _of_process is None or _of_process[0] != os.getpid():
        _of_process = os.getpid(), Archives()
    return _of_process[1].read(location, most)


def _is_zip(path: str) -> bool:
    return path.lower().endswith(".zip")


def _normal(name: str) -> str:
    return name.removeprefix("./").strip("/")


def _of_tar(file: BinaryIO) -> Members:
    archive = tarfile.open(fileobj=file, mode="r:")  # noqa: SIM115

    def reader(member: tarfile.TarInfo) -> Callable[[], bytes]:
        def read() -> bytes:
            found = archive.extractfile(member)
            data = b"" if found is None else found.read()
            if len(data) != member.size:
                raise EOFError("the archive is cut")
            return data

        return read

    return {_normal(m.name): (m.size, reader(m)) for m in archive if m.isfile()}


def _of_zip(file: BinaryIO) -> Members:
    archive = zipfile.ZipFile(file)

    def reader(member: zipfile.ZipInfo) -> Callable[[], bytes]:
        return lambda: archive.read(member)

    return {
        _normal(m.filename): (m.file_size, reader(m)) for m in archive.infolist() if not m.is_dir()
    }
