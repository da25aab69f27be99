"""The process that writes a file: a fork of it has the same file open, and must leave it alone.

A fork unwinds the same blocks, when it ends by an exception. Whatever they would remove, release or
finish is its parent's.
"""

from __future__ import annotations

import os

from shardio.errors import StorageError


class Owner:
    """The process that makes this."""

    def __init__(self) -> None:
        self._pid = os.getpid()

    @property
    def is_here(self) -> bool:
        """Whether this process is the one, and no fork of it."""
        return os.getpid() == self._pid

    def check(self, path: str) -> None:
        """Raise StorageError in a fork."""
        if not self.is_here:
            raise StorageError(f"{path}: process {self._pid} writes it; a fork of that cannot")
