"""Files of this machine that are read ahead of their use, by compiled code."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from types import ModuleType

compiled: ModuleType | None = None
with suppress(ImportError):  # it is built on installation, with a C compiler
    compiled = import_module("converter.sources._files")


class CompiledAhead:
    """The files at `locations`, up to `files` and `limit` bytes of them ahead of their use.

    No file may have more than `max_bytes`. What is not as it should be is read by `read`, which
    says what is wrong. Raises OSError where no thread can be started.
    """

    def __init__(
        self,
        locations: Sequence[str],
        read: Callable[[str], bytes],
        *,
        threads: int,
        files: int,
        limit: int,
        max_bytes: int,
    ) -> None:
        assert compiled is not None
        self._locations = locations
        self._read = read
        self._next = 0
        paths = [os.fsencode(location) for location in locations]
        self._begun: object = compiled.begin(paths, threads, files, limit, max_bytes)

    def take(self) -> bytes:
        """Return the bytes of the next file or raise its error."""
        assert compiled is not None
        number = self._next
        self._next += 1
        data: bytes | None = compiled.take(self._begun, number)
        return self._read(self._locations[number]) if data is None else data

    def close(self) -> None:
        """Begin no more reads."""
        self._begun = None
