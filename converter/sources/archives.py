"""Images within tar and zip archives, named as `archive.tar::name`.

Each process reads the index of an archive once and keeps it. Of open files it keeps some; members
are read as ranges of bytes, by any number of threads at once.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition, Lock

from converter.sources.archive_index import ArchiveIndex, read_index
from converter.sources.archive_member import Member, unpack
from converter.table.locations import SEPARATOR
from shardio.errors import MissingFileError, UnusableFileError
from shardio.storage import RangeReader, storage_for
from shardio.storage.paths import is_local
from shardio.storage.whole import ROOM, Room, check_size

# As many as threads read ahead, so that none waits for another's file.
_OPEN = 24
# A zip's local header, and what its names and extra fields take in nearly all cases.
_HEADER_BYTES = 30
_HEADER_EXTRA = 256


class _OpenFile:
    """An open archive, and how many threads read from it."""

    def __init__(self) -> None:
        self.users = 0
        self.reader: RangeReader | None = None
        self.turn = Lock()


class OpenFiles:
    """Open archives, at most `most`; the one that nobody reads from for longest is closed first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._files: OrderedDict[str, _OpenFile] = OrderedDict()
        self._change = Condition()

    def __len__(self) -> int:
        return len(self._files)

    @contextmanager
    def use(self, path: str) -> Iterator[RangeReader]:
        """Lend the file, which stays open as long; waits while all are lent to others."""
        with self._change:
            while path not in self._files and not self._has_place():
                self._change.wait()
            file = self._files.setdefault(path, _OpenFile())
            self._files.move_to_end(path)
            file.users += 1
        try:
            with file.turn:
                if file.reader is None:
                    file.reader = storage_for(path).open_ranges(path)
            yield file.reader
        finally:
            with self._change:
                file.users -= 1
                if file.reader is None and not file.users:  # it could not be opened
                    del self._files[path]
                self._change.notify()

    def close(self) -> None:
        """Close what nobody reads from."""
        with self._change:
            for path in [path for path, file in self._files.items() if not file.users]:
                reader = self._files.pop(path).reader
                if reader is not None:
                    reader.close()

    def _has_place(self) -> bool:
        if len(self._files) < self._most:
            return True
        unused = next((path for path, file in self._files.items() if not file.users), None)
        if unused is None:
            return False
        reader = self._files.pop(unused).reader
        if reader is not None:
            reader.close()
        return True


class _KnownArchive:
    """The index of an archive, or why it has none."""

    def __init__(self) -> None:
        self.turn = Lock()
        self.index: ArchiveIndex | MissingFileError | UnusableFileError | None = None


class Archives:
    """The archives that this process has read from."""

    def __init__(self, most_open: int = _OPEN) -> None:
        self._known: dict[str, _KnownArchive] = {}
        self._files = OpenFiles(most_open)

    def read(self, location: str, most: int, room: Room) -> bytes:
        """Return the bytes of `archive::name`."""
        path, _, name = location.partition(SEPARATOR)
        index = self._index(path)
        if isinstance(index, MissingFileError | UnusableFileError):
            if is_local(location) and os.path.isfile(location):  # its name has a :: in it
                return storage_for(location).read_file(location, most, room)
            raise type(index)(str(index))
        member = index.find(name)
        if member is None:
            raise MissingFileError(f"{location}: no such member")
        check_size(member.size, location, most)
        # A damaged zip may say anything; the packed bytes of an image are not more than a file.
        check_size(member.stored, location, 2 * most)
        room.take(member.size + member.stored)
        with self._files.use(path) as file:
            if member.method is None:
                return _read_plain(file, member, location)
            packed, start = _read_packed(file, member, location)
        try:
            return unpack(member, packed, start)
        # Whatever a decompressor says: the bytes were read, they are at fault.
        except Exception as error:
            raise UnusableFileError(f"{location}: damaged: {error}") from error

    def close(self) -> None:
        """Close the open files."""
        self._files.close()

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


def _read_plain(file: RangeReader, member: Member, location: str) -> bytes:
    data = bytearray(member.size)
    offset = member.offset
    for place, size in member.parts or [(0, member.size)]:
        if size:
            _fill(file, offset, memoryview(data)[place : place + size], location)
        offset += size
    return bytes(data)


def _read_packed(file: RangeReader, member: Member, location: str) -> tuple[bytes, int]:
    """Read a zip's member; returns its local header with what follows, and where its bytes start.

    How long the header is, only the header says.
    """
    data = bytearray(_HEADER_BYTES + _HEADER_EXTRA + member.stored)
    count = file.read_into(member.offset, [memoryview(data)], len(data))
    if count < _HEADER_BYTES or not data.startswith(b"PK\3\4"):
        raise UnusableFileError(f"{location}: damaged: no local header")
    name, extra = (int.from_bytes(data[at : at + 2], "little") for at in (26, 28))
    start = _HEADER_BYTES + name + extra
    end = start + member.stored
    if count < end:
        data[count:] = bytes(end - count)
        _fill(file, member.offset + count, memoryview(data)[count:], location)
    return bytes(data), start


def _fill(file: RangeReader, offset: int, buffer: memoryview, location: str) -> None:
    if file.read_into(offset, [buffer], len(buffer)) != len(buffer):
        raise UnusableFileError(f"{location}: damaged: the archive is cut")


_of_process = Archives()


def read_member(location: str, most: int, room: Room = ROOM) -> bytes:
    """Return the bytes of `archive::name`, at most `most`.

    Raises MissingFileError where archive or member are not there, UnusableFileError where they are
    damaged.
    """
    return _of_process.read(location, most, room)


@contextmanager
def known_archives() -> Iterator[None]:
    """Know archives for one run: before the next one they may be mended, or others."""
    global _of_process
    try:
        yield
    finally:
        known, _of_process = _of_process, Archives()
        known.close()


def _forget() -> None:
    """Begin anew after a fork: a lock may be held by a thread that is not there."""
    global _of_process
    _of_process = Archives()


os.register_at_fork(after_in_child=_forget)
