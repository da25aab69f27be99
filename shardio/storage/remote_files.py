"""Open files of any fsspec file system, with errors of ours."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from io import RawIOBase
from typing import Any

from shardio.errors import StorageError, UnavailableError
from shardio.storage.call import leave
from shardio.storage.owner import Owner
from shardio.storage.remote_call import LARGE, ask, ask_again
from shardio.storage.waiting import turn

# The files of all streams that there are.
_kept: dict[int, Any] = {}


class FsspecStream(RawIOBase):
    """A file read or written from its start to its end.

    One that nobody closes is given up: its server is asked nothing, and nothing is committed.
    """

    def __init__(self, path: str, file: Any, owner: Owner | None = None) -> None:
        self._path = path
        self._file = file
        self._owner = owner
        self._is_lost = False
        # Or the file could be collected before this, and its own finalizer would commit it.
        _kept[id(self)] = file

    def _do(self, action: Callable[..., Any], *arguments: Any, size: int = LARGE) -> Any:
        if self._owner is not None:
            self._owner.check(self._path)
        if self._is_lost:
            raise StorageError(f"{self._path}: its server gave no answer before; open it again")
        try:
            return ask(self._path, lambda: action(*arguments), size)
        except (UnavailableError, KeyboardInterrupt):
            # The call may still go on, and would share the position with the next one.
            self._is_lost = True
            raise

    def readable(self) -> bool:
        """Whether the file is open for reading."""
        return bool(self._file.readable())

    def writable(self) -> bool:
        """Whether the file is open for writing."""
        return bool(self._file.writable())

    def seekable(self) -> bool:
        """Whether the file has a position."""
        return bool(self._file.seekable())

    def read(self, size: int | None = -1, /) -> bytes:
        """Read at most `size` bytes."""
        wanted = -1 if size is None else size
        return bytes(self._do(self._file.read, wanted, size=LARGE if wanted < 0 else wanted))

    def readall(self) -> bytes:
        """Read to the end."""
        return self.read()

    def readinto(self, buffer: Any, /) -> int:
        """Read into a buffer."""
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def write(self, data: Any, /) -> int:
        """Write all of `data`."""
        self._do(self._file.write, data)
        return len(data)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Move the position."""
        return int(self._do(self._file.seek, offset, whence))

    def tell(self) -> int:
        """Return the position."""
        return int(self._do(self._file.tell))

    def close(self) -> None:
        """Close the file; what was written is there only after that."""
        if self.closed:
            return
        super().close()
        if not self._is_lost:
            self._do(self._file.close)

    def discard(self) -> None:
        """Close the file without committing what was written; no answer is waited for long."""
        super().close()
        for name in ("discard", "close"):
            with suppress(Exception):
                self._do(getattr(self._file, name), size=0)
            self._abandon()

    def _abandon(self) -> None:
        """Let fsspec take the file for closed: to close it commits it."""
        with suppress(Exception):  # a file that cannot be told so commits nothing by itself
            self._file.closed = True

    def __del__(self) -> None:
        self._abandon()
        _kept.pop(id(self), None)


class FsspecRanges:
    """A seekable file; it has one position, so threads take turns."""

    descriptor = -1
    identity = ""
    _file: Any = None

    def __init__(self, path: str, open_file: Callable[[], Any]) -> None:
        self._path = path
        self._open = open_file
        self._file = ask_again(path, open_file)
        self._size = getattr(self._file, "size", None)
        self._turn = threading.Lock()

    def read_into(self, offset: int, memory: memoryview) -> int:
        """Fill `memory` from byte `offset`."""
        data = self._read(offset, len(memory))
        memory[: len(data)] = data
        return len(data)

    def _read(self, offset: int, size: int) -> bytes:
        with turn(self._turn):
            return ask_again(self._path, lambda: self._read_once(offset, size))

    def _read_once(self, offset: int, size: int) -> bytes:
        if self._file is None:
            file = self._open()
            if getattr(file, "size", None) != self._size:
                raise StorageError(f"{self._path}: was replaced while it was read")
            self._file = file
        file = self._file

        def read() -> bytes:
            file.seek(offset)
            return bytes(file.read(size))

        try:
            return ask(f"{self._path}, byte {offset}", read, size)
        except (UnavailableError, KeyboardInterrupt):
            # The call may still go on, and would share the position with the next one.
            self._file = None
            raise

    def advise(self, offset: int, size: int) -> None:
        """Do nothing: such a file reads when it is asked."""

    def close(self) -> None:
        """Close the file, in a thread that nobody waits for: a finalizer may call this."""
        file, self._file = self._file, None
        if file is not None:
            leave(file.close)

    def __del__(self) -> None:
        self.close()
