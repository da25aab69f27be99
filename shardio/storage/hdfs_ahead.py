"""Reading ahead from HDFS: what was advised, in that order, in a fixed amount of memory."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

Read = Callable[[int, int], bytes]

# At most so many bytes are held for all files of a process together.
AHEAD_BYTES = 32 << 20
# One request: so large that its fixed cost is small, so small that several are under way.
PIECE_BYTES = 4 << 20
# Two requests at once are nearly twice as quick as one, four little more than two; where a disk
# has to seek or the network is slow, more are better.
_THREADS = 4
# More than that is forgotten: advice is a hint.
_MOST_WANTED = 10_000


class Piece:
    """Bytes that are read once, by the first thread that asks."""

    def __init__(self, read: Read, offset: int, size: int) -> None:
        self.offset = offset
        self.size = size
        self._read: Read | None = read
        self._lock = threading.Lock()
        self._data: bytes | None = None

    def get(self) -> bytes | None:
        """Return the bytes, after the thread that is reading them; None where that failed."""
        with self._lock:
            if self._read is not None:
                read, self._read = self._read, None
                with suppress(Exception):
                    self._data = read(self.offset, self.size)
            return self._data

    def drop(self) -> None:
        """Free the bytes: a thread pool may still refer to this."""
        self._read = self._data = None


class Ahead:
    """The pieces of a process that are being read, or were and wait for their use.

    A piece is known by its file and the byte that will be read next.
    """

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="shardio-hdfs")
        self._lock = threading.Lock()
        self._wanted: OrderedDict[tuple[int, int], Piece] = OrderedDict()
        self._held: OrderedDict[tuple[int, int], Piece] = OrderedDict()
        self._bytes = 0
        self._gone: deque[int] = deque()

    def begin(self, read: Read, offset: int, size: int) -> Piece:
        """Let bytes be read at once that the caller takes in a moment."""
        piece = Piece(read, offset, size)
        self._pool.submit(piece.get)
        return piece

    def want(self, file: int, read: Read, offset: int, size: int) -> None:
        """Read bytes of a file when there is room for them."""
        with self._lock:
            self._drop_gone()
            for start in range(offset, offset + size, PIECE_BYTES):
                key = file, start
                if key in self._held or len(self._wanted) == _MOST_WANTED:
                    continue
                length = min(PIECE_BYTES, offset + size - start)
                self._wanted.setdefault(key, Piece(read, start, length))
            self._start()

    def take(self, file: int, offset: int, size: int) -> memoryview | None:
        """Return bytes from `offset` on, at most `size`, if that is where a piece goes on."""
        with self._lock:
            self._drop_gone()
            key = file, offset
            piece = self._held.get(key)
            if piece is None:
                piece = self._wanted.pop(key, None)
                if piece is None:
                    # What was advised and not read is in the way of what will be.
                    if self._bytes >= AHEAD_BYTES:
                        self._drop(next(iter(self._held)))
                    return None
                self._held[key] = piece
                self._bytes += piece.size
        data = piece.get()
        if data is None:
            with self._lock:
                self._drop(key)
            return None
        found = memoryview(data)[offset - piece.offset :][:size]
        with self._lock:
            # Another thread may have read the same bytes, or closed the file.
            if self._held.get(key) is piece:
                stop = offset + len(found)
                if stop < piece.offset + piece.size:
                    del self._held[key]
                    self._held[file, stop] = piece
                else:
                    self._drop(key)
                    self._start()
        return found

    def forget(self, file: int) -> None:
        """Give up all pieces of a file, now or at the next use.

        The garbage collector closes files too, in any thread and at any point: also in one that
        holds our lock. So this never waits, and starts nothing.
        """
        self._gone.append(file)
        if self._lock.acquire(blocking=False):
            try:
                self._drop_gone()
            finally:
                self._lock.release()

    def _drop_gone(self) -> None:
        """Give up the pieces of closed files; the lock is held."""
        while self._gone:
            file = self._gone.popleft()
            for key in [key for key in self._wanted if key[0] == file]:
                del self._wanted[key]
            for key in [key for key in self._held if key[0] == file]:
                self._drop(key)

    def _drop(self, key: tuple[int, int]) -> None:
        """Give up a piece; the lock is held."""
        piece = self._held.pop(key, None)
        if piece is not None:
            self._bytes -= piece.size
            piece.drop()

    def _start(self) -> None:
        """Begin to read what there is room for; the lock is held."""
        while self._wanted and self._bytes < AHEAD_BYTES:
            key, piece = self._wanted.popitem(last=False)
            self._held[key] = piece
            self._bytes += piece.size
            self._pool.submit(piece.get)


_ahead: Ahead | None = None


def ahead() -> Ahead:
    """Return the one of this process."""
    global _ahead
    # Threads and locks do not survive a fork.
    if _ahead is None or _ahead.pid != os.getpid():
        _ahead = Ahead()
    return _ahead
