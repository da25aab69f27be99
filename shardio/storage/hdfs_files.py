"""Open files of HDFS: read at any byte, read in sequence, written."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Sequence
from io import SEEK_CUR, SEEK_END, SEEK_SET, RawIOBase
from typing import Any

from shardio.errors import StorageError, UnusableFileError
from shardio.storage.hdfs_ahead import PIECE_BYTES, ahead
from shardio.storage.hdfs_client import Call, HdfsClient, NoAnswerError, client_for, note_read
from shardio.storage.hdfs_errors import is_foreign, translate

# Seconds between the tries of a read: a DataNode that is started again is back in that time.
_PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)
_READ_SECONDS = 60.0
# A read that took so long had to do with a DataNode that is down or hangs.
_SLOW_SECONDS = 4.0
# A larger read is two requests at once, each of half the size.
_SPLIT_BYTES = 2 << 20
_WRITE_BYTES = 1 << 20
# Reading in sequence, a stream looks ahead so far: little first, since many read a start only.
_LEAST_AHEAD = 256 << 10
_MOST_AHEAD = 4 * PIECE_BYTES
# An id() would be given again to a file whose predecessor is not forgotten yet.
_numbers = itertools.count()


def identity(status: Any) -> str:
    """Return what tells a file from another one that takes its place."""
    return f"{status.length}:{status.modification_time}"


class HdfsRanges:
    """A file that any number of threads read, also after a fork.

    The client takes another replica where one fails. What still fails is tried again with the
    blocks' places of that moment, for a minute at most.
    """

    def __init__(self, root: str, url: str, path: str) -> None:
        self._root = root
        self._url = url
        self._path = path
        self._number = next(_numbers)
        status, file, client = self._open()
        if status.isdir:
            raise UnusableFileError(f"{url}: Is a directory")
        self._identity = identity(status)
        # Blocks that another program is still writing are not ours to read.
        self.size = min(int(status.length), int(file.file_length()))
        self._file: tuple[Any, HdfsClient] | None = file, client
        self._closed = False

    def _open(self) -> tuple[Any, Any, HdfsClient]:
        client = client_for(self._root, reading=True)

        def open_file(raw: Any) -> tuple[Any, Any]:
            status = raw.get_file_info(self._path)
            return status, None if status.isdir else raw.read(self._path)

        return *client.ask(self._url, open_file), client

    def _reopen(self) -> tuple[Any, HdfsClient]:
        client = client_for(self._root, reading=True)

        def open_file(raw: Any) -> tuple[Any, str]:
            # In this order: were the file replaced in between, its identity would tell.
            return raw.read(self._path), identity(raw.get_file_info(self._path))

        file, found = client.ask(self._url, open_file)
        if found != self._identity:
            raise StorageError(f"{self._url}: was replaced while it was read")
        self._file = file, client
        return self._file

    def read_into(self, offset: int, buffers: Sequence[memoryview], size: int) -> int:
        """Fill `buffers` in turn from byte `offset`."""
        size = min(size, self.size - offset)
        if size <= 0:
            return 0
        pieces = self._pieces(offset, size)
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        at = 0
        for buffer in buffers:
            piece = data[at : at + len(buffer)]
            buffer[: len(piece)] = piece
            at += len(piece)
        return size

    def _pieces(self, offset: int, size: int) -> list[memoryview | bytes]:
        """Read bytes, those that were read ahead first."""
        found: list[memoryview | bytes] = []
        while size:
            data = ahead().take(self._number, offset, size)
            if data is None:
                break
            found.append(data)
            offset, size = offset + len(data), size - len(data)
        if size > _SPLIT_BYTES:
            half = size // 2
            second = ahead().begin(self._read_once, offset + half, size - half)
            found.append(self._read(offset, half))
            offset, size = offset + half, size - half
            rest = second.get()
            if rest is not None:
                return [*found, rest]
        if size:
            found.append(self._read(offset, size))
        return found

    def _read(self, offset: int, size: int) -> bytes:
        end = time.monotonic() + _READ_SECONDS
        for pause in (*_PAUSES, None):
            try:
                return self._read_once(offset, size)
            except BaseException as error:
                self._file = None  # its blocks may be elsewhere by now
                if not is_foreign(error):
                    raise
                if pause is None or time.monotonic() + pause > end:
                    raise translate(error, f"{self._url}, byte {offset}") from error
            time.sleep(pause)
        raise AssertionError("unreachable")

    def _read_once(self, offset: int, size: int) -> bytes:
        file, client = self._file or self._reopen()
        if client.pid != os.getpid():
            file, client = self._reopen()
        note_read()
        began = time.monotonic()
        if client.is_of_child:
            data = self._first_read(file, offset, size)
            client.is_of_child = False
        else:
            data = file.read_range(offset, size)
        note_read()
        if time.monotonic() - began > _SLOW_SECONDS:
            self._file = None  # opened again, it may begin with other DataNodes
        if len(data) != size:
            raise OSError(f"{len(data)} bytes came, not {size}")
        return bytes(data)

    def _first_read(self, file: Any, offset: int, size: int) -> Any:
        try:
            return Call(file.read_range, offset, size).result(_READ_SECONDS)
        except NoAnswerError as error:
            raise StorageError(
                f"{self._url}: this process was forked from one that was reading from HDFS;"
                " start it with spawn or forkserver"
            ) from error

    def advise(self, offset: int, size: int) -> None:
        """Begin to read, as far as there is memory for that."""
        size = min(size, self.size - offset)
        if size > 0 and not self._closed:
            ahead().want(self._number, self._read_once, offset, size)

    def close(self) -> None:
        """Forget the file; HDFS knows nothing of readers."""
        if not self._closed:
            self._closed = True
            self._file = None
            ahead().forget(self._number)


class HdfsStream(RawIOBase):
    """A file read from its start to its end, ahead of the reader; it can be moved in."""

    def __init__(self, ranges: HdfsRanges) -> None:
        self._ranges = ranges
        self._position = 0
        # Where a read goes on in sequence, how far it looks ahead, and what is advised already.
        self._next = -1
        self._window = 0
        self._advised = 0

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def seek(self, offset: int, whence: int = SEEK_SET, /) -> int:
        """Move the position, also past the end."""
        starts = {SEEK_SET: 0, SEEK_CUR: self._position, SEEK_END: self._ranges.size}
        position = starts[whence] + offset
        if position < 0:
            raise ValueError(f"negative seek position {position}")
        self._position = position
        return position

    def readinto(self, buffer: Any, /) -> int:
        """Read into a buffer."""
        if self.closed:
            raise ValueError("read of closed file")
        view = memoryview(buffer).cast("B")
        self._look_ahead(len(view))
        count = self._ranges.read_into(self._position, [view], len(view))
        self._position += count
        self._next = self._position
        return count

    def _look_ahead(self, size: int) -> None:
        if self._position != self._next:
            self._window = 0
            return
        if not self._window:
            self._advised = self._position
        self._window = min(max(2 * self._window, _LEAST_AHEAD), _MOST_AHEAD)
        start = max(self._advised, self._position)
        # Half a window at a time, or it would be many small requests.
        if start - self._position <= self._window // 2:
            self._advised = max(start, self._position + max(size, self._window))
            self._ranges.advise(start, self._advised - start)

    def close(self) -> None:
        """Close the file."""
        if not self.closed:
            super().close()
            self._ranges.close()


class HdfsWriter(RawIOBase):
    """A file that is written; only `finish` makes it one that is complete."""

    def __init__(self, client: HdfsClient, url: str, raw: Any) -> None:
        self._client = client
        self._url = url
        self._raw = raw
        self._buffer = bytearray()
        self.written = 0

    def writable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """Return how much was written."""
        return self.written

    def write(self, data: Any, /) -> int:
        """Write all of `data`."""
        if self.closed:
            raise ValueError("write to closed file")
        view = memoryview(data).cast("B")
        self._buffer += view
        self.written += len(view)
        if len(self._buffer) >= _WRITE_BYTES:
            self._send()
        return len(view)

    def _send(self) -> None:
        # A thread that hangs in this keeps its own bytes.
        data, self._buffer = bytes(self._buffer), bytearray()
        self._client.ask_once(self._url, lambda _: self._raw.write(data))

    def finish(self) -> None:
        """Write what is left and let the NameNode close the file."""
        if self._buffer:
            self._send()
        self._client.ask_once(self._url, lambda _: self._raw.close())
        self.close()
