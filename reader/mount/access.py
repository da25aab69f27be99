"""Permissions of a mount: no more than the folder that is mounted allows."""

from __future__ import annotations

from dataclasses import replace

from shardio.errors import StorageError
from shardio.storage import FileInfo, storage_for
from shardio.storage.chooser import folders_above
from shardio.storage.protocol import Access

_READ_ONLY = 0o555
_FOLDER, _FILE = Access(0o555), Access(0o444)


def access_of(info: FileInfo | None) -> Access:
    """Return what a mount shows; everybody may read what its storage knows no permissions of."""
    if info is None:
        return _FOLDER
    if info.access is None:
        return _FOLDER if info.is_folder else _FILE
    return replace(info.access, mode=info.access.mode & _READ_ONLY)


def closed_above(url: str, access: Access | None) -> int:
    """Return the permission bits of the folder `url` that folders above it take away.

    A mount is not reached through them, so what they keep out must be kept out by the folder.
    """
    if access is None:
        return 0
    closed = 0
    for folder in folders_above(url):
        try:
            above = storage_for(folder).stat(folder).access
        except StorageError:
            above = Access(0)
        if above is None or above.mode & 0o011 == 0o011:
            continue
        closed |= 0o007
        if not (above.mode & 0o010 and above.gid == access.gid):
            closed |= 0o070
    return closed
