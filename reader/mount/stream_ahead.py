"""Reading ahead for many readers of many files, who do not say what they want next.

Programs that read a mounted file ask for a megabyte or less at a time, a little out of order. When
one has gone on in sequence for a while, larger chunks are read ahead of it, several at once. All
that is held for all readers together stays within a fixed amount of memory: the more readers there
are, the smaller are their chunks, and with very many of them nothing is read ahead.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import accumulate
from threading import RLock

import numpy as np
from numpy.typing import NDArray

from shardio.storage import RangeReader
from shardio.storage.waiting import result_of

# What is read ahead for all files together.
AHEAD_BYTES = 32 << 20
# One chunk: so large that its fixed cost is small, so small that several are under way.
CHUNK_BYTES = 2 << 20
_LEAST_CHUNK = 256 << 10
# Chunks of one stream: the one that is read, those ahead of it, and one that is nearly used up.
_DEPTH = 6
_THREADS = 4
# After so many bytes in sequence more will follow. Until then nothing is read in vain.
_SEQUENCE_BYTES = 512 << 10
# The kernel's own read-ahead asks out of order by as much.
_DISORDER = 2 << 20
# Over more than that, what was long ago does not tell how a file is read now.
_SPAN = 16 << 20
# A file that several read at once: so many places in it are remembered.
_STREAMS = 8
# A stream that has not gone on for so many seconds gives its chunks to one that needs them.
_IDLE_SECONDS = 1.0


class Pieces:
    """Bytes in several pieces."""

    def __init__(self, pieces: list[memoryview]) -> None:
        self._pieces = [np.frombuffer(piece, dtype=np.uint8) for piece in pieces]
        self._stops = list(accumulate(map(len, pieces)))

    def __len__(self) -> int:
        return self._stops[-1] if self._stops else 0

    def copy(self, start: int, to: NDArray[np.uint8]) -> int:
        """Fill `to` from byte `start` on; returns how many bytes there were."""
        done, size = 0, min(len(to), len(self) - start)
        number = bisect_right(self._stops, start)
        while done < size:
            piece = self._pieces[number]
            part = piece[len(piece) - (self._stops[number] - start - done) :][: size - done]
            # NumPy lets other threads go on meanwhile.
            to[done : done + len(part)] = part
            done += len(part)
            number += 1
        return max(0, done)


class Chunk:
    """Bytes of a file that are read once."""

    def __init__(self, start: int, size: int, data: Future[Pieces]) -> None:
        self.start = start
        self.stop = start + size
        self.left = size
        self.data = data


class Stream:
    """One of those who read a file in sequence: where it is, and its chunks in order."""

    def __init__(self, offset: int) -> None:
        self.start = offset
        self.end = offset
        self.bytes = 0
        self.used = 0.0
        self.ahead = 0
        self.size = _LEAST_CHUNK
        self.chunks: deque[Chunk] = deque()

    def is_near(self, offset: int) -> bool:
        """Whether a read at `offset` may be the next one of this stream."""
        return -_DISORDER <= offset - self.end <= _DISORDER

    def note(self, stop: int, size: int) -> None:
        """Be told of a read of `size` bytes up to `stop`."""
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
    """The memory of all streams, and the threads that fill it."""

    def __init__(self) -> None:
        # Again by the same thread: a read may end just when it is to be told what to do then.
        self.lock = RLock()
        self.held = 0
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="shardio-ahead")
        self._streams: set[Stream] = set()

    def fill(self, stream: Stream, file: AheadFile, offset: int) -> None:
        """Begin to read what `stream` wants from `offset` on, as far as there is memory.

        As all methods, for a thread that has the lock.
        """
        self._streams.add(stream)
        for chunk in [one for one in stream.chunks if one.stop + _DISORDER <= stream.end]:
            self.drop(stream, chunk)  # a part of it was never asked for
        stream.ahead = max(stream.ahead, offset)
        while stream.ahead < file.size and len(stream.chunks) < _DEPTH:
            size = min(stream.size, self._share(), file.size - stream.ahead)
            if size <= 0 or not self._make_room(size, stream):
                return
            self.held += size
            data = self._pool.submit(file.read_directly, stream.ahead, size)
            stream.chunks.append(Chunk(stream.ahead, size, data))
            stream.ahead += size
            stream.size = min(2 * stream.size, CHUNK_BYTES)

    def _share(self) -> int:
        """Return the size of a chunk when all streams get the same; 0 where that is too small."""
        before = time.monotonic() - _IDLE_SECONDS
        count = sum(stream.used >= before for stream in self._streams)
        size = min(CHUNK_BYTES, AHEAD_BYTES // (max(1, count) * _DEPTH))
        return size if size >= _LEAST_CHUNK else 0

    def _make_room(self, size: int, stream: Stream) -> bool:
        if self.held + size > AHEAD_BYTES:
            before = time.monotonic() - _IDLE_SECONDS
            for other in [one for one in self._streams if one.used < before and one != stream]:
                self.forget(other)
        return self.held + size <= AHEAD_BYTES

    def drop(self, stream: Stream, chunk: Chunk) -> None:
        """Give up a chunk, which may be gone already."""
        if chunk not in stream.chunks:
            return
        stream.chunks.remove(chunk)
        chunk.data.cancel()
        # One that is being read takes its memory until it has been.
        chunk.data.add_done_callback(lambda _: self._free(chunk))

    def _free(self, chunk: Chunk) -> None:
        with self.lock:
            self.held -= chunk.stop - chunk.start

    def forget(self, stream: Stream) -> None:
        """Give up all chunks of a stream."""
        for chunk in list(stream.chunks):
            self.drop(stream, chunk)
        stream.size = _LEAST_CHUNK
        self._streams.discard(stream)

    def close(self) -> None:
        """Begin no more reads."""
        self._pool.shutdown(wait=False, cancel_futures=True)


class AheadFile:
    """An open file of `size` bytes that any number of threads read."""

    def __init__(self, reader: RangeReader, size: int, memory: AheadMemory) -> None:
        self.size = size
        self._reader = reader
        self._memory = memory
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
                offset += self._fill(offset, memory[offset - first : chunk.start - first])
                if offset < chunk.start:
                    break
            size = data.copy(offset - chunk.start, memory[offset - first : stop - first])
            offset += size
            self._use(stream, chunk, size)
        if offset < stop:
            offset += self._fill(offset, memory[offset - first : stop - first])
        return offset - first

    def _fill(self, offset: int, memory: NDArray[np.uint8]) -> int:
        return self.read_directly(offset, len(memory)).copy(0, memory)

    def _use(self, stream: Stream, chunk: Chunk, size: int) -> None:
        """Be told that a part of a chunk was read; what is used up makes room."""
        with self._memory.lock:
            chunk.left -= size
            if chunk.left <= 0:
                self._memory.drop(stream, chunk)
                if stream.goes_on and stream in self._streams:
                    self._memory.fill(stream, self, stream.ahead)

    def _stream(self, offset: int) -> Stream:
        """Return the stream that a read belongs to, the most recently used last."""
        stream = next((one for one in self._streams if one.is_near(offset)), None)
        if stream is not None:
            self._streams.remove(stream)
        else:
            stream = Stream(offset)
            if len(self._streams) == _STREAMS:
                # Scattered reads must not push out the stream that goes on beside them.
                oldest = next((one for one in self._streams if not one.chunks), self._streams[0])
                self._memory.forget(oldest)
                self._streams.remove(oldest)
        self._streams.append(stream)
        return stream

    def read_directly(self, offset: int, size: int) -> Pieces:
        """Read from the storage."""
        return Pieces(self._reader.read_pieces(offset, size))

    def close(self) -> None:
        """Close the file."""
        with self._memory.lock:
            for stream in self._streams:
                self._memory.forget(stream)
            self._streams.clear()
        self._reader.close()
