"""Images within tar and zip archives, named as `archive.tar::name`, or by their place in a file.

Each process reads the index of an archive once and keeps it. Of open files it keeps some; members
are read as ranges of bytes, by any number of threads at once.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from threading import Lock

from converter.sources.archive_index import ArchiveIndex, read_index
from converter.sources.archive_member import PLAIN, Member, unpack
from converter.sources.example_images import image_of_record
from converter.sources.lmdb_images import close_lmdbs, read_value
from converter.table.paths.locations import SEPARATOR
from converter.table.samples.places import LMDB, NO_IMAGE, Place
from shardio.errors import MissingFileError, UnusableFileError
from shardio.format.framing import FOOTER_BYTES
from shardio.storage import RangeReader, storage_for
from shardio.storage.paths import is_local
from shardio.storage.whole import check_size

# As many as threads read ahead, so that none opens another's file again.
_OPEN = 48
# A zip's local header, and what its names and extra fields take in nearly all cases.
_HEADER_BYTES = 30
_HEADER_EXTRA = 256


class _KnownArchive:
    """The index of an archive, or why it has none."""

    def __init__(self) -> None:
        self.turn = Lock()
        self.index: ArchiveIndex | MissingFileError | UnusableFileError | None = None


class _OpenArchive:
    """An open archive, closed when its last reader is done with it."""

    def __init__(self, path: str) -> None:
        self.reader: RangeReader = storage_for(path).open_ranges(path)

    def __del__(self) -> None:
        if hasattr(self, "reader"):
            self.reader.close()


class Archives:
    """The archives that this process has read from."""

    def __init__(self, max_open: int = _OPEN) -> None:
        self._known: dict[str, _KnownArchive] = {}
        self._opened = lru_cache(max_open)(_OpenArchive)

    def read(self, location: str, max_bytes: int) -> bytes:
        """Return the bytes of `archive::name`; raises what `read_member` does."""
        path, _, name = location.partition(SEPARATOR)
        index = self._index(path)
        if isinstance(index, MissingFileError | UnusableFileError):
            if is_local(location) and os.path.isfile(location):  # its name has a :: in it
                return storage_for(location).read_file(location, max_bytes)
            raise type(index)(str(index))
        member = index.find(name)
        if member is None:
            raise MissingFileError(f"{location}: no such member")
        if why := member.why_unread():
            raise UnusableFileError(f"{location}: {why}")
        check_size(member.size, location, max_bytes)
        # A damaged zip may say anything; the packed bytes of an image are not more than a file.
        check_size(member.stored, location, 2 * max_bytes)
        file = self._opened(path)
        if member.method == PLAIN:
            data = bytearray(member.size)
            _fill(file.reader, member.offset, memoryview(data), location)
            return bytes(data)
        packed = _read_packed(file.reader, member, location)
        try:
            return unpack(member, packed)
        except (ValueError, zlib.error) as error:
            raise UnusableFileError(f"{location}: damaged: {error}") from error

    def read_bytes(self, place: Place, location: str, max_bytes: int) -> bytes:
        """Return the bytes at a place in a file; raises what `read_packed` does."""
        check_size(place.size, location, max_bytes)
        feature = place.feature
        data = bytearray(place.size + (0 if feature is None else FOOTER_BYTES))
        _fill(self._opened(place.file).reader, place.offset, memoryview(data), location)
        return bytes(data) if feature is None else image_of_record(data, feature, location)

    def close(self) -> None:
        """Close the open files."""
        self._opened.cache_clear()

    def _index(self, path: str) -> ArchiveIndex | MissingFileError | UnusableFileError:
        known = self._known.setdefault(path, _KnownArchive())
        with known.turn:
            if known.index is None:
                try:
                    with storage_for(path).open_stream(path) as stream:
                        known.index = read_index(stream, path)
                except (MissingFileError, UnusableFileError) as error:
                    # Nor is it opened again for each of its images.
                    known.index = error.with_traceback(None)
            return known.index


def _read_packed(file: RangeReader, member: Member, location: str) -> memoryview:
    """Read the packed bytes of a zip's member, which follow its local header.

    How long the header is, only the header says.
    """
    data = bytearray(_HEADER_BYTES + _HEADER_EXTRA + member.stored)
    count = file.read_into(member.offset, memoryview(data))
    if count < _HEADER_BYTES or not data.startswith(b"PK\3\4"):
        raise UnusableFileError(f"{location}: damaged: no local header")
    name, extra = (int.from_bytes(data[at : at + 2], "little") for at in (26, 28))
    start = _HEADER_BYTES + name + extra
    end = start + member.stored
    if count < end:
        data[count:] = bytes(end - count)
        _fill(file, member.offset + count, memoryview(data)[count:], location)
    return memoryview(data)[start:end]


def _fill(file: RangeReader, offset: int, buffer: memoryview, location: str) -> None:
    if file.read_into(offset, buffer) != len(buffer):
        raise UnusableFileError(f"{location}: damaged: the archive is cut")


_of_process = Archives()


def read_member(location: str, max_bytes: int) -> bytes:
    """Return the bytes of `archive::name`, at most `max_bytes`.

    Raises MissingFileError where archive or member are not there, UnusableFileError where they are
    damaged.
    """
    return _of_process.read(location, max_bytes)


def read_packed(location: str, max_bytes: int) -> bytes:
    """Return the bytes of an image at a place in a file, at most `max_bytes`.

    Raises UnusableFileError where none is there, MissingFileError where the file is not.
    """
    place = Place.parse(location)
    if place.offset == NO_IMAGE:
        raise UnusableFileError(f"{location}: the sample has no image")
    if place.reader == LMDB:
        return read_value(place, location, max_bytes)
    return _of_process.read_bytes(place, location, max_bytes)


@contextmanager
def known_archives() -> Iterator[None]:
    """Keep the indexes of archives for one run; files may change between runs."""
    try:
        yield
    finally:
        forget_archives()


def forget_archives() -> None:
    """Close all archives, and forget their indexes."""
    global _of_process
    known, _of_process = _of_process, Archives()
    known.close()
    close_lmdbs()


def _forget() -> None:
    """Start empty after a fork: a lock may be held by a thread that is not there."""
    global _of_process
    _of_process = Archives()


os.register_at_fork(after_in_child=_forget)
