"""The shards of a set as memory maps."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Any

from reader.core.compiled import core


class Maps:
    """Maps of files by number, each made when it is first asked for.

    They are kept for as long as the set is open, through all of its streams: entering a file's
    pages into a new map takes as long as reading them from it. `map_file` takes a descriptor and a
    size, and returns a map, which is undone when it is forgotten, and its address.
    """

    def __init__(self, map_file: Callable[[int, int], tuple[Any, int]]) -> None:
        self._map_file = map_file
        self._maps: dict[int, tuple[Any, int]] = {}
        self._lock = Lock()

    def address(self, number: int, descriptor: int, size: int) -> int:
        """Return the address of the map of a file of `size` bytes; 0 where none can be made."""
        with self._lock:
            if number not in self._maps:
                try:
                    self._maps[number] = self._map_file(descriptor, size)
                except OSError:
                    # Not every file system can; such a file is read.
                    self._maps[number] = None, 0
            return self._maps[number][1]


def new_maps() -> Maps:
    """Make maps for a set of shards."""
    assert core is not None
    return Maps(core.map)
