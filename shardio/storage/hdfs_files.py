"""Open files of HDFS that are read at any byte."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

from shardio.errors import StorageError, UnusableFileError
from shardio.storage.hdfs_ahead import ahead
from shardio.storage.hdfs_client import Call, HdfsClient, NoAnswerError, client_for, note_read
from shardio.storage.hdfs_errors import is_foreign, translate

# Seconds between the tries of a read: a DataNode that is started again is back in that time.
_PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)
_READ_SECONDS = 60.0
# A read that took so long had to do with a DataNode that is down or hangs.
_SLOW_SECONDS = 4.0
# A smaller one is a single packet, or two.
_STREAM_BYTES = 128 << 10
T = TypeVar("T")

# Streams that a parent process began: freeing one waits for threads that only the parent has.
_of_parents: list[object] = []
# An id() would be given again to a file whose predecessor is not forgotten yet.
_numbers = itertools.count()


def _check(size: int, wanted: int) -> None:
    if size != wanted:
        raise OSError(f"{size} bytes came, not {wanted}")


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
        if len(buffers) == 1:
            self._fill(offset, buffers[0][:size])
            return size
        data = memoryview(bytearray(size))
        self._fill(offset, data)
        at = 0
        for buffer in buffers:
            piece = data[at : at + len(buffer)]
            buffer[: len(piece)] = piece
            at += len(piece)
        return size

    def read_pieces(self, offset: int, size: int) -> list[memoryview]:
        """Return bytes as packets of the DataNode."""
        size = min(size, self.size - offset)
        if size <= 0:
            return []
        return self._again(offset, partial(self._pieces_once, offset, size))

    def _fill(self, offset: int, memory: memoryview) -> None:
        """Read bytes, those that were read ahead first."""
        while size := ahead().take(self._number, offset, memory):
            offset, memory = offset + size, memory[size:]
            if not memory:
                return
        self._read(offset, memory)

    def _read(self, offset: int, memory: memoryview) -> None:
        self._again(offset, partial(self._read_once, offset, memory))

    def _again(self, offset: int, action: Callable[[], T]) -> T:
        """Do what reads at byte `offset`, again where that fails."""
        end = time.monotonic() + _READ_SECONDS
        for pause in (*_PAUSES, None):
            try:
                return action()
            except BaseException as error:
                self._file = None  # its blocks may be elsewhere by now
                if not is_foreign(error):
                    raise
                if pause is None or time.monotonic() + pause > end:
                    raise translate(error, f"{self._url}, byte {offset}") from error
            time.sleep(pause)
        raise AssertionError("unreachable")

    def _client_file(self) -> tuple[Any, HdfsClient]:
        """Return the client's file, which is this process's."""
        file, client = self._file or self._reopen()
        return (file, client) if client.pid == os.getpid() else self._reopen()

    def _read_once(self, offset: int, memory: memoryview) -> None:
        # Packet by packet: a piece in one would be memory that is fresh and copied once more.
        at = 0
        for packet in self._packets_once(offset, len(memory)):
            memory[at : at + len(packet)] = packet
            at += len(packet)

    def _pieces_once(self, offset: int, size: int) -> list[memoryview]:
        return [memoryview(packet) for packet in self._packets_once(offset, size)]

    def _packets_once(self, offset: int, size: int) -> Iterator[bytes]:
        """Yield `size` bytes as they come."""
        file, client = self._client_file()
        note_read()
        began = time.monotonic()
        packets: Iterable[bytes]
        if client.is_of_child:
            packets = [self._first_read(file, offset, size)]
            client.is_of_child = False
        elif size <= _STREAM_BYTES:
            packets = [file.read_range(offset, size)]
        else:
            packets = file.read_range_stream(offset, size)
        done = 0
        for packet in packets:
            yield packet
            done += len(packet)
        _check(done, size)
        self._note(began)

    def _note(self, began: float) -> None:
        """Be told of a read that has ended."""
        note_read()
        if time.monotonic() - began > _SLOW_SECONDS:
            self._file = None  # opened again, it may begin with other DataNodes

    def packets(self, offset: int) -> Iterator[bytes]:
        """Yield what is in the file from byte `offset` on, as it comes."""
        stream: Iterator[bytes] | None = None
        pid = os.getpid()

        def next_packet() -> bytes:
            nonlocal stream, pid
            file, client = self._client_file()
            if pid != os.getpid():
                _of_parents.append(stream)
                stream, pid = None, os.getpid()
            if client.is_of_child:
                data: bytes = self._first_read(file, offset, min(_STREAM_BYTES, self.size - offset))
                client.is_of_child = False
                return data
            note_read()
            began = time.monotonic()
            taken, stream = stream or file.read_range_stream(offset, self.size - offset), None
            packet: bytes = next(taken, b"")
            self._note(began)
            if not packet:
                raise OSError("the stream ended before the file")
            stream = taken
            return packet

        while offset < self.size:
            packet = self._again(offset, next_packet)
            offset += len(packet)
            yield packet

    def _first_read(self, file: Any, offset: int, size: int) -> Any:
        try:
            # Not into memory of ours: a call that was given up may still come back.
            data = Call(file.read_range, offset, size).result(_READ_SECONDS)
        except NoAnswerError as error:
            raise StorageError(
                f"{self._url}: this process was forked from one that was reading from HDFS;"
                " start it with spawn or forkserver"
            ) from error
        _check(len(data), size)
        return data

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
