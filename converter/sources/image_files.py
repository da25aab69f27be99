"""The files of images, read one after the other; on slow storage several at once, ahead."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

from converter.sources import compiled_ahead
from converter.sources.archives import read_member
from converter.sources.compiled_ahead import CompiledAhead
from converter.sources.patience import reading
from converter.sources.room import ClosedError
from converter.sources.threads_ahead import ThreadsAhead
from converter.table.image_column import COPIED, read_copied
from converter.table.locations import SEPARATOR
from shardio.errors import ShardioError, StorageError
from shardio.storage import storage_for
from shardio.storage.paths import is_local
from shardio.storage.whole import ROOM, Room

# A larger file is no image of this kind of work; reading it would only fill the memory.
MAX_FILE_BYTES = 256_000_000
# Threads, and files that are read or wait for their turn. Those of Python get no further with more:
# they wait for each other.
_THREADS, _AHEAD_FILES = 48, 64
_COMPILED_THREADS, _COMPILED_FILES = 64, 128
# In bytes.
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
    read ahead; how many files are ahead is bounded by their number and by their bytes. `paused`
    sleeps before a new try.
    """

    def __init__(
        self, locations: Sequence[str], paused: Callable[[float], None] = time.sleep
    ) -> None:
        # Seconds that were spent waiting for files.
        self.seconds = 0.0
        self._locations = locations
        self._paused = paused
        self._next = 0
        self._ahead: ThreadsAhead | CompiledAhead | None = None
        # Where reading ahead ends, and how many files it takes the next time.
        self._until = 0
        self._stretch = _STRETCH
        self._slow = 0

    def __enter__(self) -> ImageFiles:
        return self

    def __exit__(self, *exception: object) -> None:
        self._end_ahead()

    def __iter__(self) -> Iterator[Callable[[], bytes]]:
        """Yield a function for each file, which returns its bytes or raises its error.

        MissingFileError and UnusableFileError are the file's, StorageError, after some tries, is
        the storage's.
        """
        for _ in self._locations:
            yield self._take

    def _take(self) -> bytes:
        start = time.perf_counter()
        number = self._next
        self._next += 1
        if number >= self._until and self._slow >= _MANY:
            self._begin_ahead(number)
        try:
            if number < self._until and self._ahead is not None:
                return self._ahead.take()
            return read_image(self._locations[number], self._paused)
        finally:
            seconds = time.perf_counter() - start
            self.seconds += seconds
            # What is read ahead says nothing of that; it begins anew after the last of those.
            slow = number >= self._until and seconds > _SLOW_SECONDS
            self._slow = 0 if number < self._until else max(0, self._slow + (1 if slow else -1))

    def _begin_ahead(self, number: int) -> None:
        self._end_ahead()
        self._until = min(len(self._locations), number + self._stretch)
        self._stretch *= _LONGER
        self._ahead = _read_ahead(self._locations[number : self._until], self._paused)

    def _end_ahead(self) -> None:
        if self._ahead is not None:
            self._ahead.close()
            self._ahead = None


def _read_ahead(
    locations: Sequence[str], paused: Callable[[float], None]
) -> ThreadsAhead | CompiledAhead:
    if compiled_ahead.compiled is not None and all(map(_is_plain, locations)):
        # Where it cannot start a thread Python cannot, either, and says so; and of a name that no
        # file can have it says which.
        with suppress(OSError, UnicodeEncodeError):
            return CompiledAhead(
                locations,
                lambda location: read_image(location, paused),
                threads=_COMPILED_THREADS,
                files=_COMPILED_FILES,
                limit=AHEAD_BYTES,
                most=MAX_FILE_BYTES,
            )
    return ThreadsAhead(
        locations,
        lambda location, room: read_image(location, paused, room),
        threads=_THREADS,
        files=_AHEAD_FILES,
        limit=AHEAD_BYTES,
    )


def _is_plain(location: str) -> bool:
    """Whether a location is the path of a file, which any program can open."""
    return (
        is_local(location)
        and SEPARATOR not in location
        and not location.startswith(COPIED)
        and "\0" not in location
    )


def read_image(
    location: str, paused: Callable[[float], None] = time.sleep, room: Room = ROOM
) -> bytes:
    """Read a whole file; StorageError after a minute, where the storage is at fault.

    `paused` sleeps between the tries, and may raise.
    """
    return reading(lambda: _read_once(location, room), paused)


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
