"""Reading ahead for many readers of many files, which do not say what they want next.

Programs that read a mounted file ask for a megabyte or less at a time, a little out of order. When
one has gone on in sequence for a while, chunks are read ahead of it, several at once. All that is
held for all readers together stays within a fixed amount of memory: where there are more readers
than that is enough for, some read without.
"""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from shardio.storage import RangeReader
from shardio.storage.waiting import result_of

# One chunk: so large that its fixed cost is small, so small that several are under way.
CHUNK_BYTES = 1 << 20
# What is held for all files together, and ahead of one reader.
_MAX_CHUNKS = 32
_DEPTH = 5
_THREADS = 4
# After so many bytes in sequence more will follow; reading ahead sooner would often be wasted.
_SEQUENCE_BYTES = 512 << 10
# The kernel's own read-ahead asks out of order by as much.
_DISORDER = 2 << 20
# Over more than that, what was long ago does not tell how a file is read now.
_SPAN = 16 << 20
# A file that several read at once: so many places in it are remembered.
_STREAMS = 8
# The chunks of a stream that has not gone on for so many seconds make room for others.
_IDLE_SECONDS = 1.0


class Chunk:
    """Bytes of a file that are read once."""

    def __init__(
        self, stream: Stream, start: int, size: int, data: Future[NDArray[np.uint8]]
    ) -> None:
        self.stream = stream
        self.start = start
        self.stop = start + size
        self.left = size
        self.data = data


class Stream:
    """A place where a file is read in sequence, and the chunks that are read ahead of it."""

    def __init__(self, offset: int) -> None:
        self.start = offset
        self.end = offset
        self.bytes = 0
        self.used = 0.0
        self.ahead = 0
        self.chunks: list[Chunk] = []

    def is_near(self, offset: int) -> bool:
        """Whether a read at `offset` may be the next one of this stream."""
        return -_DISORDER <= offset - self.end <= _DISORDER

    def note(self, stop: int, size: int) -> None:
        """Record a read of `size` bytes up to `stop`."""
        self.used = time.monotonic()
        self.end = max(self.end, stop)
        self.bytes += size
        if self.end - self.start > _SPAN:
            self.start += (self.end - self.start) // 2
            self.bytes //= 2

    @property
    def goes_on(self) -> bool:
        """Whether nearly all was read, for a while: chance does not do that."""
        return self.bytes >= max(_SEQUENCE_BYTES, self.end - self.start - _DISORDER)


class AheadMemory:
    """The chunks of all streams, and the threads that fill them.

    All methods are for a thread that has the lock.
    """

    def __init__(self) -> None:
        self.lock = Lock()
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="shardio-ahead")
        # Those that were given up too, until they are read.
        self._chunks: set[Chunk] = set()

    def fill(self, stream: Stream, file: AheadFile, offset: int) -> None:
        """Begin to read what `stream` wants from `offset` on, as far as there is memory."""
        for chunk in list(stream.chunks):
            # Of some a part is never asked for.
            if chunk.left <= 0 or chunk.stop + _DISORDER <= stream.end:
                self.drop(chunk)
        stream.ahead = max(stream.ahead, offset)
        while stream.ahead < file.size and len(stream.chunks) < _DEPTH and self._has_room():
            size = min(CHUNK_BYTES, file.size - stream.ahead)
            data = self._pool.submit(file.read, stream.ahead, size)
            stream.chunks.append(Chunk(stream, stream.ahead, size, data))
            self._chunks.add(stream.chunks[-1])
            stream.ahead += size

    def _has_room(self) -> bool:
        if len(self._chunks) >= _MAX_CHUNKS:
            before = time.monotonic() - _IDLE_SECONDS
            for chunk in [one for one in tuple(self._chunks) if one.stream.used < before]:
                self.drop(chunk)
        return len(self._chunks) < _MAX_CHUNKS

    def drop(self, chunk: Chunk) -> None:
        """Give up a chunk; one that is being read takes its memory until it has been."""
        if chunk in chunk.stream.chunks:
            chunk.stream.chunks.remove(chunk)
            chunk.data.cancel()
            chunk.data.add_done_callback(lambda _: self._chunks.discard(chunk))

    def forget(self, stream: Stream) -> None:
        """Give up all chunks of a stream."""
        for chunk in list(stream.chunks):
            self.drop(chunk)

    def close(self) -> None:
        """Begin no more reads."""
        self._pool.shutdown(wait=False, cancel_futures=True)


class AheadFile:
    """An open file of `size` bytes that any number of threads read."""

    def __init__(self, reader: RangeReader, size: int, memory: AheadMemory) -> None:
        self.size = size
        self._reader = reader
        self._memory = memory
        # The one that was used last comes last.
        self._streams: list[Stream] = []

    def read_into(self, offset: int, memory: NDArray[np.uint8]) -> int:
        """Fill memory; returns how many bytes, fewer only at the end of the file."""
        size = min(len(memory), self.size - offset)
        if size <= 0:
            return 0
        first, stop = offset, offset + size
        with self._memory.lock:
            stream = self._stream(offset)
            stream.note(stop, size)
            if stream.goes_on:
                self._memory.fill(stream, self, offset)
            chunks = [one for one in stream.chunks if one.start < stop and offset < one.stop]
        for chunk in chunks:
            try:
                data = result_of(chunk.data)
            except KeyboardInterrupt:
                raise
            except BaseException:  # it may go well without it
                continue
            if chunk.start > offset:
                offset += self._reader.read_into(
                    offset, memory[offset - first : chunk.start - first].data
                )
                if offset < chunk.start:
                    break
            part = data[offset - chunk.start : stop - chunk.start]
            # NumPy lets other threads go on meanwhile.
            memory[offset - first : offset - first + len(part)] = part
            offset += len(part)
            with self._memory.lock:
                chunk.left -= len(part)
        if offset < stop:
            offset += self._reader.read_into(offset, memory[offset - first : stop - first].data)
        return offset - first

    def read(self, offset: int, size: int) -> NDArray[np.uint8]:
        """Read from the storage."""
        memory = np.empty(size, dtype=np.uint8)
        return memory[: self._reader.read_into(offset, memory.data)]

    def _stream(self, offset: int) -> Stream:
        """Return the stream that a read belongs to."""
        stream = next((one for one in self._streams if one.is_near(offset)), None)
        if stream is not None:
            self._streams.remove(stream)
        else:
            stream = Stream(offset)
            if len(self._streams) == _STREAMS:
                # Scattered reads must not push out the stream that goes on beside them.
                oldest = next((one for one in self._streams if not one.chunks), self._streams[0])
                self._streams.remove(oldest)
                self._memory.forget(oldest)
        self._streams.append(stream)
        return stream

    def close(self) -> None:
        """Close the file."""
        with self._memory.lock:
            for stream in self._streams:
                self._memory.forget(stream)
        self._reader.close()
