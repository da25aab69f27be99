"""The folder `.shardio` in an output folder: what an unfinished conversion needs to go on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from shardio.errors import MissingFileError
from shardio.format.naming import DONE_FOLDER, LOCK, ROWS_FOLDER, WORK_FOLDER
from shardio.storage import FileInfo, storage_for
from shardio.storage.folder_lock import locked
from shardio.storage.links import refuse_link
from shardio.storage.paths import is_local, join

_LOCK_NAME = LOCK.rsplit("/", 1)[-1]


class WorkFolder:
    """The work folder of the output folder `folder`, on any storage.

    A symbolic link in its place is refused: what that leads to belongs to somebody else.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._path = join(folder, WORK_FOLDER)
        self._storage = storage_for(folder)

    def refuse_links(self) -> None:
        """Raise OutputError where files of this folder would lie in another one."""
        for name in (WORK_FOLDER, DONE_FOLDER, ROWS_FOLDER):
            refuse_link(join(self._folder, name))

    @property
    def exists(self) -> bool:
        """Whether it is there, be it empty."""
        if self._storage.is_link(self._path):
            return True
        try:
            self._storage.stat(self._path)
        except MissingFileError:
            return False
        return True

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep a second conversion out of a local folder while this one runs.

        The kernel gives the lock back when the process ends, however it ends. Other storages have
        no such lock: two conversions with one plan and one root, which the first one claims, make
        the same bytes there, and no harm.
        """
        self.refuse_links()
        if not is_local(self._folder):
            yield
            return
        busy = f"another conversion is writing to {self._folder}; wait until it ends"
        with locked(join(self._folder, LOCK), busy):
            yield

    def files(self, folder: str = WORK_FOLDER) -> dict[str, FileInfo]:
        """Return what is in it, or in a folder of it, by name."""
        self.refuse_links()
        infos = self._storage.list(join(self._folder, folder))
        return {info.path.rsplit("/", 1)[-1]: info for info in infos}

    def remove_records_but(self, kept: set[str]) -> None:
        """Remove the done-records that have no shard: attempts at it compare theirs with them."""
        for name, info in self.files(DONE_FOLDER).items():
            if name not in kept:
                self._storage.delete(info.path)

    def remove(self) -> None:
        """Remove it with all that is in it, but for the lock of a running conversion."""
        for name, info in self.files().items():
            if name != _LOCK_NAME:
                self._storage.delete(info.path)
        if not is_local(self._folder):
            self._storage.delete(self._path)
