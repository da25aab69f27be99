"""Reading a whole file, within a bound."""

from __future__ import annotations

from typing import BinaryIO

from shardio.errors import UnusableFileError

# Memory is taken for as much before it is known how large the file is.
_FIRST_BYTES = 1 << 16
_NEXT_BYTES = 1 << 20


def read_stream(stream: BinaryIO, path: str, most: int) -> bytes:
    """Return the rest of a stream; raises UnusableFileError for more than `most` bytes."""
    blocks: list[bytes] = []
    size = 0
    while True:
        block = stream.read(_NEXT_BYTES if blocks else _FIRST_BYTES)
        if not block:
            return blocks[0] if len(blocks) == 1 else b"".join(blocks)
        blocks.append(block)
        size += len(block)
        check_size(size, path, most)


def check_size(size: int, path: str, most: int) -> None:
    """Refuse a file of more than `most` bytes."""
    if size > most:
        raise UnusableFileError(f"{path}: the file is larger than {most:,} bytes")
