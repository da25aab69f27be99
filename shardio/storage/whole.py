"""Reading a whole file from a stream, within a bound."""

from __future__ import annotations

from typing import BinaryIO

from shardio.errors import UnusableFileError

# Memory is taken for as much before it is known how large the file is.
_FIRST_BYTES = 1 << 16
_NEXT_BYTES = 1 << 20


def read_stream(stream: BinaryIO, path: str, most: int) -> bytes:
    """Return what is left of a stream; UnusableFileError where that is more than `most` bytes."""
    blocks: list[bytes] = []
    size = 0
    while block := stream.read(_NEXT_BYTES if blocks else _FIRST_BYTES):
        blocks.append(block)
        size += len(block)
        check_size(size, path, most)
    return blocks[0] if len(blocks) == 1 else b"".join(blocks)


def check_size(size: int, path: str, most: int) -> None:
    """Refuse a file of more than `most` bytes."""
    if size > most:
        raise UnusableFileError(f"{path}: the file is larger than {most:,} bytes")
