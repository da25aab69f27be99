"""HDFS: hdfs://host:port, hdfs://nameservice and viewfs://, through hdfs-native.

Name services, Kerberos and all else come from Hadoop's own configuration (HADOOP_CONF_DIR), the
user from HADOOP_USER_NAME. No Java is needed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from typing import Any, BinaryIO, cast

from shardio.errors import MissingFileError, OutputError, StorageError
from shardio.storage.call import leave
from shardio.storage.hdfs_client import client_for
from shardio.storage.hdfs_files import HdfsRanges, identity
from shardio.storage.hdfs_writer import HdfsWriter
from shardio.storage.owner import Owner
from shardio.storage.paths import name_of
from shardio.storage.protocol import Access, FileInfo, RangeReader
from shardio.storage.ranges_stream import RangesStream
from shardio.storage.temporary import temporary_name
from shardio.storage.whole import read_stream

_SLASHES = re.compile(r"/+")
# Taking away what a failed attempt left must not keep its error back for long.
_CLEAN_SECONDS = 10.0
# Names that are listed at a time.
_NAMES = 1000


class HdfsStorage:
    """The file system `root`, such as hdfs://host:8020; hdfs:// is that of the configuration."""

    def __init__(self, root: str) -> None:
        self._root = root

    def _inner(self, url: str) -> str:
        """Return the path within the file system: no scheme, no empty parts."""
        return _SLASHES.sub("/", f"/{url[len(self._root) :]}").rstrip("/") or "/"

    def list(self, folder: str) -> list[FileInfo]:
        """List the files and folders in `folder`."""
        inner = self._inner(folder)
        try:
            found = client_for(self._root).ask(
                folder, lambda raw: list(raw.list_status(inner, False))
            )
        except MissingFileError:
            return []
        base = folder if folder.endswith("/") else f"{folder}/"
        names = ((status.path.rpartition("/")[2], status) for status in found)
        # A file is listed as being in itself.
        infos = [_info(base + name, status) for name, status in names if status.path != inner]
        return sorted(infos, key=lambda info: info.path)

    def names(self, folder: str) -> Iterator[tuple[str, bool]]:
        """Yield the name of each file and folder in `folder`, and whether it is a folder."""
        inner = self._inner(folder)
        client = client_for(self._root)
        try:
            found = client.ask(folder, lambda raw: iter(raw.list_status(inner, False)))
            # Not asked for again: a listing that was broken off would go on without an error.
            while part := client.ask_once(folder, lambda _: list(islice(found, _NAMES))):
                for status in part:
                    if status.path != inner:
                        yield name_of(status.path), status.isdir
        except MissingFileError:
            return

    def stat(self, path: str) -> FileInfo:
        """Return size and identity."""
        inner = self._inner(path)
        return _info(path, client_for(self._root).ask(path, lambda raw: raw.get_file_info(inner)))

    def is_link(self, path: str) -> bool:
        """Return False: HDFS makes no symbolic links."""
        return False

    def open_ranges(self, path: str) -> RangeReader:
        """Open a file for reading at any byte."""
        return HdfsRanges(self._root, path, self._inner(path))

    def open_stream(self, path: str) -> BinaryIO:
        """Open a file for reading.

        Read in sequence, the DataNode goes on sending as far as sockets hold it.
        """
        ranges = HdfsRanges(self._root, path, self._inner(path))
        return cast(BinaryIO, RangesStream(ranges))

    def read_file(self, path: str, max_bytes: int) -> bytes:
        """Return a whole file."""
        with self.open_stream(path) as stream:
            return read_stream(stream, path, max_bytes)

    @contextmanager
    def publish(self, path: str, *, attempt: str, overwrite: bool = True) -> Iterator[BinaryIO]:
        """Write a file that appears whole or not at all."""
        client = client_for(self._root)
        inner = self._inner(path)
        folder, _, name = inner.rpartition("/")
        temporary = f"{folder}/{temporary_name(name, attempt)}"
        options = client.options(overwrite=True, create_parent=True)
        owner = Owner()

        def remove() -> None:
            # Never closed: the NameNode would take what has arrived for the whole file.
            with suppress(StorageError):
                owner.check(path)
                client.ask_once(path, lambda raw: raw.delete(temporary, False), _CLEAN_SECONDS)

        try:
            raw = client.ask(path, lambda raw: raw.create(temporary, options))
            file = HdfsWriter(client, path, raw, owner)
            yield cast(BinaryIO, file)
            file.finish()
            status = client.ask(path, lambda raw: raw.get_file_info(temporary))
            if status.length != file.written:
                raise StorageError(
                    f"{path}: {file.written} bytes were written and {status.length} arrived"
                )
            self._rename(path, temporary, inner, overwrite, identity(status))
        except GeneratorExit:  # nobody writes any more
            leave(remove)
            raise
        except BaseException:
            remove()
            raise

    def _rename(
        self, path: str, temporary: str, inner: str, overwrite: bool, identity_: str
    ) -> None:
        """Give a file its name; the NameNode does it at once, or refuses."""
        client = client_for(self._root)
        try:
            client.ask(path, lambda raw: raw.rename(temporary, inner, overwrite))
        except (MissingFileError, OutputError):
            # The answer to a first try may have been lost when the NameNode went down.
            if self.stat(path).identity != identity_:
                raise

    def delete(self, path: str) -> None:
        """Remove a file, or a folder with all that is in it."""
        inner = self._inner(path)
        with suppress(MissingFileError):
            client_for(self._root).ask(path, lambda raw: raw.delete(inner, True))


def _info(path: str, status: Any) -> FileInfo:
    # Its users and groups are not those of this machine: a group has what others have.
    mode = int(status.permission)
    return FileInfo(
        path,
        int(status.length),
        identity(status),
        bool(status.isdir),
        status.modification_time / 1000,
        Access((mode & 0o700) | (mode & 0o007) * 0o11),
    )
