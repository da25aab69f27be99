"""Columns of numbers and texts on disk: a table of any length takes a few bytes a row of memory.

The files have no name: they are removed from their folder as soon as they are made. So the kernel
gives their space back when they are no longer read, also where the process was killed. Where the
variable TMPDIR names no folder, that is /var/tmp, since /tmp is in memory on many machines.

They are written with write(), which says that a disk is full, and then mapped: pages of a map are
no memory of this process, the kernel takes them back when it needs them.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import DTypeLike, NDArray

from shardio.errors import StorageError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_BUFFER = 1 << 20
# Rows that are looked at together.
SLICE = 1 << 16


class Scratch:
    """Files of a folder for the time of a `with`; what was mapped from them stays readable."""

    def __init__(self, folder: str | None = None) -> None:
        self.folder = folder or _default_folder()
        # What helps against a full disk; a folder that was given is not to be chosen otherwise.
        self._hint = "free some space" if folder else "TMPDIR=FOLDER names one with more space"
        self._files = ExitStack()

    def __enter__(self) -> Scratch:
        return self

    def __exit__(self, *exception: object) -> None:
        self._files.close()

    def file(self) -> BinaryIO:
        """Make an empty file."""
        with self.reporting():
            made: Any = tempfile.TemporaryFile(  # noqa: SIM115
                dir=self.folder, buffering=_BUFFER
            )
        # What could not be written is no longer wanted when the file is closed.
        self._files.callback(_close, made)
        return made  # type: ignore[no-any-return]

    def column(self, dtype: DTypeLike, width: int | None = None) -> Column:
        """Make an empty column of numbers, or of so many numbers a row."""
        return Column(self, np.dtype(dtype), width)

    def texts(self) -> TextColumn:
        """Make an empty column of texts."""
        return TextColumn(self)

    def mapped(
        self, file: BinaryIO, dtype: np.dtype[Any] | type, shape: tuple[int, ...]
    ) -> NDArray[Any]:
        """Return the numbers in a file, read from disk where they are looked at."""
        with self.reporting():
            file.flush()
            if 0 in shape:
                return np.empty(shape, dtype)
            # A plain array: each view of a memmap would be one too, and slower.
            return np.asarray(np.memmap(file, dtype, "r", shape=shape))

    @contextmanager
    def reporting(self) -> Iterator[None]:
        """Turn errors of the operating system into ours."""
        try:
            yield
        except OSError as error:
            reason = error.strerror or str(error)
            if error.errno in _FULL:
                reason += f" ({self._hint})"
            raise StorageError(f"{self.folder}: {reason}") from error


class Column:
    """A column that grows on disk."""

    def __init__(self, scratch: Scratch, dtype: np.dtype[Any], width: int | None) -> None:
        self._scratch = scratch
        self._dtype = dtype
        self._width = width
        self._file = scratch.file()
        self._rows = 0

    def append(self, values: NDArray[Any]) -> None:
        """Add rows, which are turned into the type of the column."""
        self._rows += len(values)
        data = np.ascontiguousarray(values, dtype=self._dtype)
        if data.size:
            with self._scratch.reporting():
                self._file.write(data.data.cast("B"))

    def descriptor(self) -> int:
        """Return the descriptor of the file, which holds all rows by then."""
        with self._scratch.reporting():
            self._file.flush()
        return self._file.fileno()

    def finish(self) -> NDArray[Any]:
        """Return all rows, read from disk where they are looked at."""
        shape = (self._rows,) if self._width is None else (self._rows, self._width)
        return self._scratch.mapped(self._file, self._dtype, shape)


class Texts:
    """A column of texts on disk."""

    def __init__(self, offsets: NDArray[np.int64], data: NDArray[np.uint8]) -> None:
        self._offsets = offsets
        self._data = data

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def take(self, rows: NDArray[np.int64]) -> list[str]:
        """Return the texts of `rows`."""
        data = self._data.data
        starts, ends = self._offsets[rows].tolist(), self._offsets[rows + 1].tolist()
        return [str(data[a:b], "utf-8") for a, b in zip(starts, ends, strict=True)]


class TextColumn:
    """A column of texts, or of other bytes, that grows on disk."""

    def __init__(self, scratch: Scratch) -> None:
        self._offsets = scratch.column(np.int64)
        self._data = scratch.column(np.uint8)
        self._end = 0
        self._offsets.append(np.zeros(1, np.int64))

    def append(self, texts: Any) -> None:
        """Add an Arrow array of large strings, or large binaries, without nulls."""
        if not len(texts):
            return
        _, places, data = texts.buffers()
        offsets = np.frombuffer(places, np.int64)[texts.offset : texts.offset + len(texts) + 1]
        first, last = int(offsets[0]), int(offsets[-1])
        if last > first:
            self._data.append(np.frombuffer(data, np.uint8)[first:last])
        self._offsets.append(offsets[1:] - (first - self._end))
        self._end += last - first

    def finish(self) -> Texts:
        """Return all texts."""
        return Texts(self.offsets(), self._data.finish())

    def offsets(self) -> NDArray[np.int64]:
        """Return where each one begins, and where the last one ends."""
        return self._offsets.finish()

    def descriptor(self) -> int:
        """Return the descriptor of the file of their bytes, while the scratch is open."""
        return self._data.descriptor()


def recoded(
    scratch: Scratch,
    codes: NDArray[Any],
    of_code: NDArray[np.int32],
    columns: NDArray[np.bool_] | None = None,
) -> NDArray[Any]:
    """Replace each code by another one, slice by slice; only in `columns` if they are given."""
    if np.array_equal(of_code, np.arange(len(of_code))):
        return codes
    column = scratch.column(codes.dtype, None if codes.ndim == 1 else codes.shape[1])
    for rows in slices(len(codes)):
        if columns is None:
            column.append(of_code[codes[rows]])
            continue
        values = codes[rows].copy()
        values[:, columns] = of_code[values[:, columns]]
        column.append(values)
    return column.finish()


def slices(rows: int, size: int = SLICE) -> Iterator[slice]:
    """Cut a number of rows into slices."""
    for start in range(0, rows, size):
        yield slice(start, min(start + size, rows))


def _default_folder() -> str:
    asked: Sequence[str | None] = (os.environ.get("TMPDIR"), "/var/tmp")
    for folder in asked:
        if folder and os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK):
            return folder
    return tempfile.gettempdir()


def _close(file: BinaryIO) -> None:
    with suppress(OSError):
        file.close()
