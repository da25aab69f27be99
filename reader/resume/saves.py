"""A folder that holds the last save of a training, whole, whenever the process is killed.

| file                | what it is                                               |
|---------------------|----------------------------------------------------------|
| `latest`            | the name of the folder of the last save                  |
| `save-XXXXXXXX`     | a save; one that `latest` does not name was not finished |

A save is written into a new folder and flushed to disk; then `latest` is replaced, in one step.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from shardio.errors import DatasetError

_POINTER = "latest"
_PREFIX = "save-"


class Saves:
    """The saves of one training, of which the last one is kept.

    With several processes only one of them may save; all may read `latest`.
    """

    def __init__(self, folder: str | Path) -> None:
        """Name the folder, which is made by the first save."""
        self.folder = Path(folder)

    @property
    def latest(self) -> Path | None:
        """The folder of the last save; None before the first one.

        Raises DatasetError where it is named and not there.
        """
        before = None
        while (name := self._named()) is not None:
            found = self.folder / name
            if name.startswith(_PREFIX) and Path(name).name == name and found.is_dir():
                return found
            if name == before:
                raise DatasetError(
                    f"{self.folder / _POINTER} names the save {name!r}, which is not there; remove "
                    f"{self.folder} to begin from the start"
                )
            before = name  # a save that was finished since it was named has removed it
        return None

    def _named(self) -> str | None:
        try:
            return (self.folder / _POINTER).read_text(encoding="utf-8", errors="replace").strip()
        except FileNotFoundError:
            return None

    @contextmanager
    def new(self) -> Iterator[Path]:
        """Yield a new folder to write a save into; it becomes the latest one at the end.

        If the block raises, the save before stays the latest.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=self.folder))
        try:
            yield folder
            for path in folder.rglob("*"):
                _flush(path)
            _flush(folder)
            pointer = self.folder / f"{_POINTER}.new"
            pointer.write_text(f"{folder.name}\n", encoding="utf-8")
            _flush(pointer)
            _flush(self.folder)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        pointer.replace(self.folder / _POINTER)
        _flush(self.folder)
        for other in self.folder.glob(f"{_PREFIX}*"):
            if other != folder:
                shutil.rmtree(other, ignore_errors=True)


def _flush(path: Path) -> None:
    """Have what was written to a file or a folder on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with suppress(OSError):  # some file systems flush no folders
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
