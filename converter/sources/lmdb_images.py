"""Images in LMDB sets. Each process opens a set once; any number of threads read from it."""

from __future__ import annotations

import os
from contextlib import ExitStack
from threading import Lock
from typing import Any

from converter.table.samples.lmdb_set import explained, image_key, opened
from converter.table.samples.places import Place
from shardio.errors import TableError, UnusableFileError
from shardio.storage.whole import check_size


class _OpenSets:
    """The LMDB sets that this process has opened."""

    def __init__(self) -> None:
        self._turn = Lock()
        self._opened: dict[str, Any] = {}
        self._stack = ExitStack()

    def get(self, path: str) -> Any:
        """Return the open set."""
        with self._turn:
            if path not in self._opened:
                self._opened[path] = self._stack.enter_context(opened(path))
            return self._opened[path]

    def close(self) -> None:
        """Close all of them."""
        with self._turn:
            self._opened.clear()
            self._stack.close()


_of_process = _OpenSets()


def read_value(place: Place, location: str, max_bytes: int) -> bytes:
    """Return an image; UnusableFileError where it is not there any more, or the set is damaged."""
    import lmdb

    try:
        with _of_process.get(place.file).begin(buffers=True) as view:
            value = view.get(image_key(place.offset))
            if value is None:
                raise UnusableFileError(f"{location}: the sample has no image")
            check_size(len(value), location, max_bytes)
            return bytes(value)
    except lmdb.Error as error:
        raise UnusableFileError(f"{location}: {explained(error)}") from error
    except TableError as error:
        raise UnusableFileError(f"{location}: {error}") from error


def close_lmdbs() -> None:
    """Close the sets of a run; files may change between runs."""
    _of_process.close()


def _forget() -> None:
    """Open sets anew after a fork, which LMDB's do not survive."""
    global _of_process
    _of_process = _OpenSets()


os.register_at_fork(after_in_child=_forget)
