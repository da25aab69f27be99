"""Reading a whole file, within a bound."""

from __future__ import annotations

from typing import BinaryIO

from shardio.errors import UnusableFileError

# Memory is taken for as much before it is known how large the file is.
_FIRST_BYTES = 1 << 16
_NEXT_BYTES = 1 << 20


def read_stream(stream: BinaryIO, path: str, max_bytes: int) -> bytes:
    """Return the rest of a stream; raises UnusableFileError for more than `max_bytes`."""
    blocks: list[bytes] = []
    size = 0
    while True:
        block = stream.read(_NEXT_BYTES if blocks else _FIRST_BYTES)
        if not block:
            return blocks[0] if len(blocks) == 1 else b"".join(blocks)
        blocks.append(block)
        size += len(block)
        check_size(size, path, max_bytes)


def check_size(size: int, path: str, max_bytes: int) -> None:
    """Raise UnusableFileError for a file of more than `max_bytes`."""
    if size > max_bytes:
        raise UnusableFileError(f"{path}: the file is larger than {max_bytes:,} bytes")
