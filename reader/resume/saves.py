"""A folder that holds the last save of a training, whole, whenever the process is killed.

| file                | what it is                                               |
|---------------------|----------------------------------------------------------|
| `latest`            | the name of the folder of the last save                  |
| `save-XXXXXXXX`     | a save; one that `latest` does not name was not finished |
| `.lock`             | while a training saves here; of one that was killed it   |
|                     | is left, and keeps nobody out                            |

A save is written into a new folder and flushed to disk; then `latest` is replaced, in one step.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import warnings
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from shardio.errors import DatasetError, OutputError, StorageError
from shardio.storage.folder_lock import lock_file
from shardio.storage.owner import Owner

_POINTER = "latest"
_PREFIX = "save-"
# What flock says on a file system that has none, such as Lustre's without its option.
_NO_LOCKS = {errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK}


class Saves:
    """The saves of one training, of which the last one is kept.

    With several processes only one of them may save; all may read `latest`. The first save, or
    `with`, keeps other trainings from saving here until the block ends or this object is gone.
    """

    def __init__(self, folder: str | Path) -> None:
        """Name the folder, which is made by the first save."""
        self.folder = Path(folder)
        self._lock: weakref.finalize[[str, int, int], Saves] | None = None

    def __enter__(self) -> Saves:
        """Keep other trainings out from now on; raises OutputError where one is at work."""
        self._keep_out()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._lock is not None:
            self._lock()
            self._lock = None

    def _keep_out(self) -> None:
        if self._lock is not None:
            return
        path = str(self.folder / ".lock" / "lock")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = lock_file(
                path, f"another training saves into {self.folder}: name another folder"
            )
        except OutputError:
            raise
        except OSError as error:
            if error.errno in _NO_LOCKS:
                warnings.warn(
                    f"{self.folder} lies on a file system without locks: nothing keeps another "
                    "training from saving there",
                    stacklevel=3,
                )
                return
            raise StorageError(f"{self.folder} cannot be a folder of saves: {error}") from error
        self._lock = weakref.finalize(self, _release, path, lock, os.getpid())
        _LOCKED.add(self)

    def leave_to_parent(self) -> None:
        """Give up the lock in a process that was forked, which may outlive its parent."""
        self.__exit__()

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

        If the block raises, the save before stays the latest. Raises OutputError where another
        training saves into the folder.
        """
        self._keep_out()
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=self.folder))
        owner = Owner()
        try:
            yield folder
            owner.check(str(folder))
            for path in folder.rglob("*"):
                _flush(path)
            _flush(folder)
            pointer = self.folder / f"{_POINTER}.new"
            pointer.write_text(f"{folder.name}\n", encoding="utf-8")
            _flush(pointer)
            _flush(self.folder)
        except BaseException:
            if owner.is_here:
                shutil.rmtree(folder, ignore_errors=True)
            raise
        pointer.replace(self.folder / _POINTER)
        _flush(self.folder)
        for other in self.folder.glob(f"{_PREFIX}*"):
            if other != folder:
                shutil.rmtree(other, ignore_errors=True)


def _release(path: str, lock: int, owner: int) -> None:
    """End a lock; the file goes with it, but in a process that was forked."""
    if os.getpid() == owner:
        with suppress(OSError):
            os.unlink(path)
            os.rmdir(os.path.dirname(path))
    os.close(lock)


def _tell_fork() -> None:
    for saves in list(_LOCKED):
        saves.leave_to_parent()


# Those that keep others out.
_LOCKED: weakref.WeakSet[Saves] = weakref.WeakSet()
os.register_at_fork(after_in_child=_tell_fork)


def _flush(path: Path) -> None:
    """Have what was written to a file or a folder on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with suppress(OSError):  # some file systems flush no folders
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
