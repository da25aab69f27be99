"""Reading a whole file, within a bound."""

from __future__ import annotations

from typing import BinaryIO

from shardio.errors import UnusableFileError

# Memory is taken for as much before it is known how large the file is.
_FIRST_BYTES = 1 << 16
_NEXT_BYTES = 1 << 20


class Room:
    """Memory for the bytes of one file. This one has no bound; others may let their callers wait.

    `expected` is what a file may have, as far as is known: a storage that does not know the size
    begins with so many bytes.
    """

    expected = 1 << 62

    def take(self, size: int) -> None:
        """Take room for `size` bytes in all, before they are read."""


ROOM = Room()


def read_stream(stream: BinaryIO, path: str, most: int, room: Room = ROOM) -> bytes:
    """Return what is left of a stream; UnusableFileError where that is more than `most` bytes."""
    blocks: list[bytes] = []
    size = 0
    while True:
        wanted = _NEXT_BYTES if blocks else _FIRST_BYTES
        room.take(size + wanted)
        block = stream.read(wanted)
        if not block:
            return blocks[0] if len(blocks) == 1 else b"".join(blocks)
        blocks.append(block)
        size += len(block)
        check_size(size, path, most)


def check_size(size: int, path: str, most: int) -> None:
    """Refuse a file of more than `most` bytes."""
    if size > most:
        raise UnusableFileError(f"{path}: the file is larger than {most:,} bytes")
