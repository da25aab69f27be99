"""Copying a file while its SHA-256 is computed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import BinaryIO

# Larger writes may take longer (local.py says why); a local file's buffer is smaller, and is passed
# by.
_WRITE_BYTES = 256 << 10
# Fills memory from a byte of the source on; returns how many bytes, 0 at its end.
Read = Callable[[int, memoryview], int]


def copy(read: Read, size: int, out: BinaryIO, tell: Callable[[int], object], piece: int) -> str:
    """Copy `size` bytes to `out`, `piece` bytes at a time; returns their SHA-256, or "" if cut.

    `tell` is called with the bytes of each piece, and may raise to stop.
    """
    digest = hashlib.sha256()
    memory = memoryview(bytearray(min(piece, max(1, size))))
    done = 0
    while done < size:
        got = read(done, memory[: size - done])
        if not got:
            return ""
        digest.update(memory[:got])
        for start in range(0, got, _WRITE_BYTES):
            out.write(memory[start : min(got, start + _WRITE_BYTES)])
        tell(got)
        done += got
    return digest.hexdigest()
