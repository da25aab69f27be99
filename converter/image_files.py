"""The files of images, read one after the other; on slow storage several at once, ahead."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future

from converter.archives import SEPARATOR, read_member
from converter.image_column import COPIED, read_copied
from converter.read_ahead import ClosedError, FileRoom, ReadAheadBound
from converter.reading_threads import ReadingThreads
from shardio.errors import MissingFileError, ShardioError, StorageError, UnusableFileError
from shardio.storage import storage_for
from shardio.storage.whole import ROOM, Room

# A larger file is no image of this kind of work; reading it would only fill the memory.
MAX_FILE_BYTES = 256_000_000
# A storage error is tried again after these seconds.
_RETRY_SECONDS = (0.1, 0.5, 2.0)
_THREADS = 48
# Files that are read, or wait for their turn: so many, and so many bytes.
_AHEAD_FILES = 64
AHEAD_BYTES = 32 << 20
# Storage that takes longer than this for a file is slow: less than handing it to a thread costs.
_SLOW_SECONDS = 0.0005
# So many more slow files than quick ones: the first of all is always slow.
_MANY = 4
# After so many files it is tried whether they come quickly by now: a disk had to wake up, or the
# indexes of archives were read. The next time it is after so many times as many.
_STRETCH = 64
_LONGER = 4


class ImageFiles:
    """The bytes of the files at `locations`, in their order.

    While files come quickly they are read when they are asked for. Where they do not, some threads
    read ahead; how many files are ahead is bounded by their number and by their bytes: a thread
    that finds its file large waits until there is room. `paused` sleeps before a new try.
    """

    def __init__(
        self, locations: Sequence[str], paused: Callable[[float], None] = time.sleep
    ) -> None:
        # Seconds that were spent waiting for files.
        self.seconds = 0.0
        self._locations = locations
        self._paused = paused
        self._next = 0
        self._ahead: deque[tuple[int, Future[bytes], FileRoom]] = deque()
        self._threads: ReadingThreads | None = None
        self._bound = ReadAheadBound(AHEAD_BYTES, _THREADS)
        # Where reading ahead ends, and how many files it takes the next time.
        self._until = 0
        self._stretch = _STRETCH
        self._slow = 0

    def __enter__(self) -> ImageFiles:
        return self

    def __exit__(self, *exception: object) -> None:
        self._bound.close()
        if self._threads is not None:
            self._threads.close()

    def __iter__(self) -> Iterator[Callable[[], bytes]]:
        """Yield a function for each file, which returns its bytes or raises its error.

        MissingFileError and UnusableFileError are the file's, StorageError, after some tries, is
        the storage's.
        """
        for _ in self._locations:
            yield self._take

    def _take(self) -> bytes:
        start = time.perf_counter()
        try:
            data = self._result()
        finally:
            seconds = time.perf_counter() - start
            self.seconds += seconds
            # What is read ahead says nothing of that; it begins anew after the last of those.
            slow = not self._ahead and seconds > _SLOW_SECONDS
            self._slow = 0 if self._ahead else max(0, self._slow + (1 if slow else -1))
        return data

    def _result(self) -> bytes:
        if not self._ahead and self._slow < _MANY:
            self._next += 1
            return read_image(self._locations[self._next - 1], self._paused)
        if not self._ahead:
            self._until = min(len(self._locations), self._next + self._stretch)
            self._stretch *= _LONGER
        self._threads = self._threads or ReadingThreads(_THREADS)
        while len(self._ahead) < _AHEAD_FILES and self._next < self._until:
            self._begin(self._threads, self._next)
            self._next += 1
        number, file, room = self._ahead.popleft()
        self._bound.need(number)
        try:
            return file.result()
        finally:
            room.settle(0)

    def _begin(self, threads: ReadingThreads, number: int) -> None:
        room = FileRoom(self._bound, number)

        def read() -> bytes:
            data = b""
            try:
                data = read_image(self._locations[number], self._paused, room)
            finally:
                room.settle(len(data))
            self._bound.saw(len(data))
            return data

        self._ahead.append((number, threads.begin(read), room))


def read_image(
    location: str, paused: Callable[[float], None] = time.sleep, room: Room = ROOM
) -> bytes:
    """Read a whole file; StorageError after some tries, where the storage is at fault.

    `paused` sleeps between the tries, and may raise.
    """
    for pause in (*_RETRY_SECONDS, None):
        try:
            return _read_once(location, room)
        except (MissingFileError, UnusableFileError):
            raise
        except (StorageError, TimeoutError, ConnectionError) as error:
            if pause is None:
                raise StorageError(
                    f"reading failed {len(_RETRY_SECONDS) + 1} times: {error}"
                ) from error
            paused(pause)
    raise AssertionError("unreachable")


def _read_once(location: str, room: Room) -> bytes:
    if location.startswith(COPIED):
        return read_copied(location, MAX_FILE_BYTES, room)
    try:
        if SEPARATOR in location:
            return read_member(location, MAX_FILE_BYTES, room)
        return storage_for(location).read_file(location, MAX_FILE_BYTES, room)
    except (ShardioError, ClosedError):
        raise
    # Clients of remote storages have errors of their own that are no OSError.
    except Exception as error:
        raise StorageError(f"{location}: {str(error) or type(error).__name__}") from error
