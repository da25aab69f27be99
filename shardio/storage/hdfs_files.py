"""Open files of HDFS that are read at any byte."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, TypeVar

from shardio.errors import StorageError, UnavailableError, UnusableFileError
from shardio.storage.call import Call, NoAnswerError
from shardio.storage.hdfs_client import HdfsClient, client_for, last_try, note_read
from shardio.storage.hdfs_errors import is_foreign, translate
from shardio.storage.waiting import Wait, patiently

# A read is tried again for so long: a DataNode that is started again is back in that time.
_READ_SECONDS = 60.0
# A read that took so long had to do with a DataNode that is down or hangs.
_SLOW_SECONDS = 4.0
# A smaller one is a single packet, or two.
_STREAM_BYTES = 128 << 10
# So much of a stream is taken at once: each call costs some 50 microseconds.
_CALL_BYTES = 512 << 10
T = TypeVar("T")

# Streams that a parent process began: freeing one waits for threads that only the parent has.
_of_parents: list[object] = []


def _packets(file: Any, offset: int, size: int) -> Iterable[bytes]:
    """Return `size` bytes of the client's file as they come."""
    if size <= _STREAM_BYTES:
        return [file.read_range(offset, size)]
    stream: Iterable[bytes] = file.read_range_stream(offset, size)
    return stream


def _next_packets(stream: Any, offset: int, size: int, file: Any) -> tuple[list[bytes], Any]:
    """Return the next packets of a stream, which begins where there is none, and the stream."""
    stream = stream or file.read_range_stream(offset, size)
    packets: list[bytes] = []
    done = 0
    while done < _CALL_BYTES and (packet := next(stream, b"")):
        packets.append(packet)
        done += len(packet)
    if not packets:
        raise OSError("the stream ended before the file")
    return packets, stream


def identity(status: Any) -> str:
    """Return what tells a file from another one that takes its place."""
    return f"{status.length}:{status.modification_time}"


class _Landing:
    """Memory that a call fills, and not any more once it is abandoned: then others may use it."""

    def __init__(self, memory: memoryview) -> None:
        self._memory: memoryview | None = memory
        self._lock = threading.Lock()

    def fill(self, packets: Iterable[bytes]) -> int:
        """Copy packets one after the other; returns how many bytes that were."""
        # Packet by packet: a piece in one would be memory that is fresh and copied once more.
        at = 0
        for packet in packets:
            with self._lock:
                if self._memory is None:
                    break
                self._memory[at : at + len(packet)] = packet
            at += len(packet)
        return at

    def close(self) -> None:
        """Let nothing more in."""
        with self._lock:
            self._memory = None


class HdfsRanges:
    """A file that any number of threads read, also after a fork.

    The client takes another replica where one fails. What still fails is tried again with the
    blocks' places of that moment, for a minute at most.
    """

    descriptor = -1

    def __init__(self, root: str, url: str, path: str) -> None:
        self._root = root
        self._url = url
        self._path = path
        status, file, client = self._open()
        if status.isdir:
            raise UnusableFileError(f"{url}: Is a directory")
        self.identity = identity(status)
        # Blocks that another program is still writing are not ours to read.
        self.size: int = min(int(status.length), int(file.file_length()))
        self._file: tuple[Any, HdfsClient] | None = file, client

    def _open(self) -> tuple[Any, Any, HdfsClient]:
        client = client_for(self._root, reading=True)

        def open_file(raw: Any) -> tuple[Any, Any]:
            status = raw.get_file_info(self._path)
            return status, None if status.isdir else raw.read(self._path)

        return *client.ask(self._url, open_file), client

    def _reopen(self, wait: Wait) -> tuple[Any, HdfsClient]:
        client = client_for(self._root, reading=True)

        def open_file(raw: Any) -> tuple[Any, str]:
            # In this order: were the file replaced in between, its identity would tell.
            return raw.read(self._path), identity(raw.get_file_info(self._path))

        file, found = client.ask(self._url, open_file, wait)
        if found != self.identity:
            raise StorageError(f"{self._url}: was replaced while it was read")
        self._file = file, client
        return self._file

    def read_into(self, offset: int, memory: memoryview) -> int:
        """Fill `memory` from byte `offset`."""
        size = min(len(memory), self.size - offset)
        if size <= 0:
            return 0
        self._again(offset, partial(self._read_once, offset, memory[:size]))
        return size

    def _again(self, offset: int, action: Callable[[Wait], T]) -> T:
        """Do what reads at byte `offset`, again where that fails; all of it takes a minute."""
        wait = Wait(_READ_SECONDS)
        is_passing = False

        def attempt() -> T:
            nonlocal is_passing
            try:
                return action(wait)
            except BaseException as error:
                self._file = None  # its blocks may be elsewhere by now
                is_passing = is_foreign(error)
                if not is_passing:
                    raise
                raise translate(error, f"{self._url}, byte {offset}") from error

        return patiently(attempt, lambda _: is_passing, wait, key=self._root)

    def _call(self, wait: Wait, action: Callable[[Any], T]) -> T:
        """Call `action` with the client's file, which is this process's.

        The client itself keeps interrupts waiting, and a child waits for ever for a lock of the
        library that another thread of its parent held.
        """
        file, client = self._file or self._reopen(wait)
        if client.pid != os.getpid():
            file, client = self._reopen(wait)
        note_read()
        began = time.monotonic()
        try:
            result = Call(action, file).result(last_try(wait), f"the DataNodes of {self._root}")
        except NoAnswerError:
            if client.is_of_child:
                raise StorageError(
                    f"{self._url}: this process was forked from one that was reading from HDFS;"
                    " start it with spawn or forkserver"
                ) from None
            raise UnavailableError(
                f"{self._url}: no answer from its DataNodes within {wait.seconds:.0f} seconds;"
                " are they up? `hdfs dfsadmin -report`"
            ) from None
        client.is_of_child = False
        note_read()
        if time.monotonic() - began > _SLOW_SECONDS:
            self._file = None  # opened again, it may begin with other DataNodes
        return result

    def _read_once(self, offset: int, memory: memoryview, wait: Wait) -> None:
        landing = _Landing(memory)

        def fill(file: Any) -> int:
            return landing.fill(_packets(file, offset, len(memory)))

        try:
            size = self._call(wait, fill)
            if size != len(memory):
                raise OSError(f"{size} bytes came, not {len(memory)}")
        finally:
            landing.close()

    def packets(self, offset: int) -> Iterator[bytes]:
        """Yield what is in the file from byte `offset` on, as it comes."""
        stream: Any = None
        pid = os.getpid()

        def next_packets(wait: Wait) -> list[bytes]:
            nonlocal stream, pid
            if pid != os.getpid():
                _of_parents.append(stream)
                stream, pid = None, os.getpid()
            begun, stream = stream, None
            take = partial(_next_packets, begun, offset, self.size - offset)
            packets, stream = self._call(wait, take)
            return packets

        while offset < self.size:
            for packet in self._again(offset, next_packets):
                offset += len(packet)
                yield packet

    def advise(self, offset: int, size: int) -> None:
        """Do nothing: whoever needs many reads has many under way at once."""

    def close(self) -> None:
        """Forget the file; HDFS knows nothing of readers."""
        self._file = None
