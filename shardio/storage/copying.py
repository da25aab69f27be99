"""Copying a file while its SHA-256 is computed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from io import BufferedWriter
from typing import BinaryIO

from shardio.storage.ranges_stream import RangesStream

# Larger writes may take longer (local.py says why). So much is still in the processor's cache when
# it is written, after its digest was computed.
_WRITE_BYTES = 256 << 10
# Fills memory from a byte of the source on; returns how many bytes, 0 at its end.
Read = Callable[[int, memoryview], int]
Pieces = Iterable[bytes | memoryview]


def pieces_read(read: Read, piece: int) -> Iterator[memoryview]:
    """Yield what `read` gives, `piece` bytes at most at a time, all in the same memory."""
    memory = memoryview(bytearray(piece))
    done = 0
    while got := read(done, memory):
        yield memory[:got]
        done += got


def pieces_of(stream: BinaryIO) -> Pieces:
    """Yield what is in a file that was just opened, without a copy where it comes from a server."""
    if isinstance(stream, RangesStream):
        return stream.pieces()
    return pieces_read(lambda _, memory: stream.readinto(memory), _WRITE_BYTES)  # type: ignore[attr-defined]


def copy(pieces: Pieces, size: int, out: BinaryIO, tell: Callable[[int], object]) -> str:
    """Copy `size` bytes to `out`; returns their SHA-256, or "" if they are cut.

    `tell` is called with the bytes of each piece, and may raise to stop.
    """
    # Past the buffer of a local file, into which packets of a server would be copied.
    write = out.raw.write if isinstance(out, BufferedWriter) else out.write
    out.flush()
    digest = hashlib.sha256()
    done = 0
    for piece in pieces:
        view = memoryview(piece)[: size - done]
        for start in range(0, len(view), _WRITE_BYTES):
            part = view[start : start + _WRITE_BYTES]
            digest.update(part)
            while part:  # nearly always once
                part = part[write(part) :]
        tell(len(view))
        done += len(view)
        if done == size:
            break
    return digest.hexdigest() if done == size else ""
