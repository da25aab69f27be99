"""Which storage a path belongs to."""

from __future__ import annotations

import os
from pathlib import PurePath

from shardio.storage.confined import ConfinedStorage
from shardio.storage.hdfs import HdfsStorage
from shardio.storage.local import LocalStorage
from shardio.storage.paths import _ROOT, join, scheme_of
from shardio.storage.protocol import Storage
from shardio.storage.remote import FsspecStorage
from shardio.storage.s3 import S3Storage

# fsspec knows these too, by whatever package was installed last.
_HDFS = ("hdfs", "viewfs")
_S3 = ("s3", "s3a")
# What fsspec calls a folder of this machine.
_LOCAL = ("file", "local")


def storage_for(path: str) -> Storage:
    """Return the storage that `path` belongs to: local disk for a plain path."""
    root = _ROOT.match(path)
    if root is None:
        return LocalStorage()
    scheme = scheme_of(path)
    if scheme in _HDFS:
        return HdfsStorage(root[0])
    return S3Storage(root[0]) if scheme in _S3 else FsspecStorage(root[0])


def local_path(path: str) -> str | None:
    """Return the path of a file of this machine, also that of a URL file://; None for others."""
    scheme = scheme_of(path)
    if scheme is None:
        return path
    return path.partition("://")[2] if scheme in _LOCAL else None


def confined_to(folder: str) -> Storage:
    """Return a storage that gives only what lies in `folder`, wherever links lead.

    It takes local paths where the folder is one of this machine: see `local_path`.
    """
    path = local_path(folder)
    return storage_for(folder) if path is None else ConfinedStorage(path)


def folders_above(path: str) -> list[str]:
    """Return the folders that a path or URL lies in, from the next one to the root."""
    root = _ROOT.match(path)
    if root is None:
        return [str(parent) for parent in PurePath(os.path.realpath(path)).parents]
    parts = path[root.end() :].strip("/").split("/")
    return [join(root[0], *parts[:count]) for count in reversed(range(len(parts)))]
