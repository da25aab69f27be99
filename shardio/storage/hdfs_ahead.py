"""Reading ahead from HDFS: what was advised, in that order, in a fixed amount of memory."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from shardio.storage.hdfs_errors import is_foreign

# Fills memory with the bytes of a file from an offset on.
Read = Callable[[int, memoryview], None]

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
    """Bytes that are read once, by the first thread that asks.

    Its memory is used again by other pieces, when this one is given up and nobody works with it any
    more: `users` counts those who do, with the lock of Ahead.
    """

    def __init__(self, read: Read, offset: int, size: int) -> None:
        self.offset = offset
        self.size = size
        self.memory: bytearray | None = None
        self.users = 0
        self.turn: Future[None] | None = None
        self._read: Read | None = read
        self._lock = threading.Lock()
        self._is_whole = False

    def fill(self) -> memoryview | None:
        """Return the bytes, after the thread that is reading them; None where that failed."""
        with self._lock:
            assert self.memory is not None
            view = memoryview(self.memory)[: self.size]
            if self._read is not None:
                read, self._read = self._read, None
                try:
                    read(self.offset, view)
                except BaseException as error:  # also a panic of the client
                    if not is_foreign(error) and not isinstance(error, Exception):
                        raise
                    return None
                self._is_whole = True
            return view if self._is_whole else None

    def give_up(self) -> None:
        """Read nothing, if that has not begun."""
        self._read = None


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
        # Fresh memory costs more than what is read into it: its pages have to be cleared.
        self._free: list[bytearray] = []
        self._gone: deque[int] = deque()

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

    def take(self, file: int, offset: int, memory: memoryview) -> int:
        """Fill the start of `memory` from `offset` on, if that is where a piece goes on.

        Returns how many bytes that were.
        """
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
                    return 0
                self._hold(key, piece)
            piece.users += 1
        size = 0
        try:
            data = piece.fill()
            if data is not None:
                part = data[offset - piece.offset :][: len(memory)]
                size = len(part)
                memory[:size] = part
        finally:
            with self._lock:
                # Another thread may have read the same bytes, or closed the file.
                if self._held.get(key) is piece:
                    stop = offset + size
                    rest = file, stop
                    # What was advised twice may be held from there on as well.
                    if size and stop < piece.offset + piece.size and rest not in self._held:
                        del self._held[key]
                        self._wanted.pop(rest, None)
                        self._held[rest] = piece
                    else:
                        self._drop(key)
                        self._start()
                self._leave(piece)
        return size

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

    def _fill(self, piece: Piece) -> None:
        try:
            piece.fill()
        finally:
            with self._lock:
                self._leave(piece)

    def _hold(self, key: tuple[int, int], piece: Piece) -> None:
        """Give a piece memory; the lock is held, as for all that follow."""
        piece.memory = self._free.pop() if self._free else bytearray(PIECE_BYTES)
        piece.users += 1
        self._held[key] = piece
        self._bytes += PIECE_BYTES

    def _leave(self, piece: Piece) -> None:
        """Be told that one of the users of a piece is done with it."""
        piece.users -= 1
        if piece.users == 0 and piece.memory is not None:
            memory, piece.memory = piece.memory, None
            if len(self._free) * PIECE_BYTES < AHEAD_BYTES:
                self._free.append(memory)

    def _drop_gone(self) -> None:
        """Give up the pieces of closed files."""
        if not self._gone:
            return
        while self._gone:
            file = self._gone.popleft()
            for key in [key for key in self._wanted if key[0] == file]:
                del self._wanted[key]
            for key in [key for key in self._held if key[0] == file]:
                self._drop(key)
        if not self._held:
            self._free.clear()  # nobody reads ahead any more

    def _drop(self, key: tuple[int, int]) -> None:
        """Give up a piece."""
        piece = self._held.pop(key, None)
        if piece is not None:
            self._bytes -= PIECE_BYTES
            piece.give_up()
            # Its turn may be long in coming, where reads hang.
            if piece.turn is not None and piece.turn.cancel():
                self._leave(piece)
            self._leave(piece)

    def _start(self) -> None:
        """Begin to read what there is room for."""
        while self._wanted and self._bytes < AHEAD_BYTES:
            key, piece = self._wanted.popitem(last=False)
            self._hold(key, piece)
            piece.users += 1
            piece.turn = self._pool.submit(self._fill, piece)


_ahead: Ahead | None = None


def ahead() -> Ahead:
    """Return the one of this process."""
    global _ahead
    # Threads and locks do not survive a fork.
    if _ahead is None or _ahead.pid != os.getpid():
        _ahead = Ahead()
    return _ahead
