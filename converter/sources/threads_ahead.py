"""Files of any storage that are read ahead of their use, by threads of Python."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Protocol

from converter.sources.room import FileRoom, ReadAheadBound
from converter.sources.threads import ReadingThreads
from shardio.storage.whole import Room


class ReadFile(Protocol):
    """Reads the file at a location, which may have to wait for room."""

    def __call__(self, location: str, room: Room, /) -> bytes:
        """Return its bytes or raise its error."""


class ThreadsAhead:
    """The files at `locations`, up to `files` and `limit` bytes of them ahead of their use.

    How large a file is shows only while it is read: a thread that finds its file large waits until
    there is room.
    """

    def __init__(
        self, locations: Sequence[str], read: ReadFile, *, threads: int, files: int, limit: int
    ) -> None:
        self._locations = locations
        self._read = read
        self._files = files
        self._next = 0
        self._bound = ReadAheadBound(limit, threads)
        self._threads = ReadingThreads(threads)
        self._ahead: deque[tuple[int, Future[bytes], FileRoom]] = deque()

    @property
    def taken(self) -> int:
        """Bytes that the files ahead have room for."""
        return sum(room.taken for _, _, room in self._ahead)

    def take(self) -> bytes:
        """Return the bytes of the next file or raise its error."""
        while len(self._ahead) < self._files and self._next < len(self._locations):
            self._begin(self._next)
            self._next += 1
        number, file, room = self._ahead.popleft()
        self._bound.need(number)
        try:
            return file.result()
        finally:
            room.settle(0)

    def close(self) -> None:
        """Let the threads end."""
        self._bound.close()
        self._threads.close()

    def _begin(self, number: int) -> None:
        room = FileRoom(self._bound, number)

        def read() -> bytes:
            data = b""
            try:
                data = self._read(self._locations[number], room)
            finally:
                room.settle(len(data))
            self._bound.saw(len(data))
            return data

        self._ahead.append((number, self._threads.begin(read), room))
