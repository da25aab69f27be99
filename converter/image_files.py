"""The files of images, read one after the other; on slow storage several at once, ahead."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from converter.archives import SEPARATOR, read_member
from converter.image_column import COPIED, read_copied
from shardio.errors import MissingFileError, ShardioError, StorageError, UnusableFileError
from shardio.storage import storage_for

# A larger file is no image of this kind of work; reading it would only fill the memory.
MAX_FILE_BYTES = 256_000_000
# A storage error is tried again after these seconds.
_RETRY_SECONDS = (0.1, 0.5, 2.0)
_THREADS = 24
# Files that are read, or wait for their turn: so many, and about so many bytes.
_AHEAD_FILES = 48
AHEAD_BYTES = 32 << 20
# Storage that takes longer than this for a file is slow: less than handing it to a thread costs.
_SLOW_SECONDS = 0.0005
# So many more slow files than quick ones: the first of all is always slow.
_MANY = 4


class ImageFiles:
    """The bytes of the files at `locations`, in their order.

    While files come quickly they are read when they are asked for. Where they do not, some threads
    read ahead; how many files are ahead is bounded by their number and by the bytes that files of
    this kind had so far.
    """

    def __init__(self, locations: Sequence[str]) -> None:
        # Seconds that were spent waiting for files.
        self.seconds = 0.0
        self._locations = locations
        self._next = 0
        self._ahead: deque[Future[bytes]] = deque()
        self._pool: ThreadPoolExecutor | None = None
        self._slow = 0
        self._count = 0
        self._bytes = 0

    def __enter__(self) -> ImageFiles:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._pool is not None:
            # A file that is being read holds nothing up.
            self._pool.shutdown(wait=False, cancel_futures=True)

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
            self._slow = max(0, self._slow + (1 if seconds > _SLOW_SECONDS else -1))
        self._count += 1
        self._bytes += len(data)
        return data

    def _result(self) -> bytes:
        if self._pool is None:
            if self._slow < _MANY:
                self._next += 1
                return read_image(self._locations[self._next - 1])
            self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="shardio-images")
        self._fill(self._pool)
        return self._ahead.popleft().result()

    def _fill(self, pool: ThreadPoolExecutor) -> None:
        mean = self._bytes // max(1, self._count) + 1
        most = max(1, min(_AHEAD_FILES, AHEAD_BYTES // mean))
        while len(self._ahead) < most and self._next < len(self._locations):
            self._ahead.append(pool.submit(read_image, self._locations[self._next]))
            self._next += 1


def read_image(location: str) -> bytes:
    """Read a whole file; StorageError after some tries, where the storage is at fault."""
    for pause in (*_RETRY_SECONDS, None):
        try:
            return _read_once(location)
        except (MissingFileError, UnusableFileError):
            raise
        except (StorageError, TimeoutError, ConnectionError) as error:
            if pause is None:
                raise StorageError(
                    f"reading failed {len(_RETRY_SECONDS) + 1} times: {error}"
                ) from error
            time.sleep(pause)
    raise AssertionError("unreachable")


def _read_once(location: str) -> bytes:
    if location.startswith(COPIED):
        return read_copied(location, MAX_FILE_BYTES)
    if SEPARATOR in location:
        return read_member(location, MAX_FILE_BYTES)
    try:
        return storage_for(location).read_file(location, MAX_FILE_BYTES)
    except ShardioError:
        raise
    # Clients of remote storages have errors of their own that are no OSError.
    except Exception as error:
        raise StorageError(f"{location}: {str(error) or type(error).__name__}") from error
