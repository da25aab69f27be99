"""The files of images, read one after the other; on slow storage several at once, ahead."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

from converter.sources import compiled_ahead
from converter.sources.archives import read_member, read_packed
from converter.sources.compiled_ahead import CompiledAhead
from converter.sources.files_ahead import FilesAhead
from converter.sources.image_finder import ImageFinder
from converter.sources.patience import reading
from converter.table.image_column import COPIED, read_copied
from converter.table.paths.locations import SEPARATOR
from converter.table.samples.places import PACKED
from shardio.errors import MissingFileError, ShardioError, StorageError
from shardio.storage import storage_for
from shardio.storage.paths import is_local

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
# The sizes of so many files say how large the next ones may be.
_RECENT = 64


class ImageFiles:
    """The bytes of the files at `locations`, in their order.

    While files come quickly they are read when they are asked for. Where they do not, some threads
    read ahead; how many files are ahead is bounded by their number and by their bytes. `paused`
    sleeps before a new try. A `finder` looks elsewhere for a file that is not at its place.
    """

    def __init__(
        self,
        locations: Sequence[str],
        paused: Callable[[float], None] = time.sleep,
        finder: ImageFinder | None = None,
    ) -> None:
        # Seconds that were spent waiting for files.
        self.seconds = 0.0
        self._locations = locations
        self._paused = paused
        self._finder = finder
        self._next = 0
        self._ahead: FilesAhead | CompiledAhead | None = None
        # Where reading ahead ends, and how many files it takes the next time.
        self._until = 0
        self._stretch = _STRETCH
        self._sizes = deque([0], _RECENT)
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
                data = self._ahead.take()
            else:
                data = read_image(self._locations[number], self._paused)
            self._sizes.append(len(data))
            return data
        except MissingFileError:
            if self._finder is None:
                raise
            return self._finder.read(
                self._locations[number], lambda place: read_image(place, self._paused)
            )
        finally:
            seconds = time.perf_counter() - start
            self.seconds += seconds
            # What is read ahead says nothing of that; counting begins again after it.
            slow = number >= self._until and seconds > _SLOW_SECONDS
            self._slow = 0 if number < self._until else max(0, self._slow + (1 if slow else -1))

    def _begin_ahead(self, number: int) -> None:
        self._end_ahead()
        self._until = min(len(self._locations), number + self._stretch)
        self._stretch *= _LONGER
        self._ahead = self._read_ahead(self._locations[number : self._until])

    def _read_ahead(self, locations: Sequence[str]) -> FilesAhead | CompiledAhead:
        def read(location: str, max_bytes: int = MAX_FILE_BYTES) -> bytes:
            return read_image(location, self._paused, max_bytes)

        limits = {"limit": AHEAD_BYTES, "max_bytes": MAX_FILE_BYTES}
        if compiled_ahead.compiled is not None and all(map(_is_plain, locations)):
            # Where it cannot start a thread Python cannot, either, and says so; and of a name that
            # no file can have it says which.
            with suppress(OSError, UnicodeEncodeError):
                return CompiledAhead(
                    locations, read, threads=_COMPILED_THREADS, files=_COMPILED_FILES, **limits
                )
        return FilesAhead(
            locations, read, self._sizes, threads=_THREADS, files=_AHEAD_FILES, **limits
        )

    def _end_ahead(self) -> None:
        if self._ahead is not None:
            self._ahead.close()
            self._ahead = None


def _is_plain(location: str) -> bool:
    """Whether a location is the path of a file, which any program can open."""
    return (
        is_local(location)
        and SEPARATOR not in location
        and not location.startswith((COPIED, PACKED))
        and "\0" not in location
    )


def read_image(
    location: str,
    paused: Callable[[float], None] = time.sleep,
    max_bytes: int = MAX_FILE_BYTES,
) -> bytes:
    """Read a whole file.

    Raises MissingFileError and UnusableFileError where the file is at fault, also for one of more
    than `max_bytes`; StorageError after a minute, where the storage is. `paused` sleeps between
    the tries, and may raise.
    """
    return reading(lambda: _read_once(location, max_bytes), paused)


def _read_once(location: str, max_bytes: int) -> bytes:
    if location.startswith(COPIED):
        return read_copied(location, max_bytes)
    try:
        if location.startswith(PACKED):
            return read_packed(location, max_bytes)
        if SEPARATOR in location:
            return read_member(location, max_bytes)
        return storage_for(location).read_file(location, max_bytes)
    except ShardioError:
        raise
    # Clients of remote storages have errors of their own that are no OSError.
    except Exception as error:
        raise StorageError(f"{location}: {str(error) or type(error).__name__}") from error
