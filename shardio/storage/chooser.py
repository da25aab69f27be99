"""Which storage a path belongs to."""

from __future__ import annotations

import re

from shardio.storage.hdfs import HdfsStorage
from shardio.storage.local import LocalStorage
from shardio.storage.protocol import Storage
from shardio.storage.remote import FsspecStorage

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
# With the host, which some file systems log in to.
_ROOT = re.compile(rf"{_SCHEME.pattern}[^/]*")
# fsspec knows these too, by whatever package was installed last.
_HDFS = ("hdfs", "viewfs")


def scheme_of(path: str) -> str | None:
    """Return the scheme of a URL in lower case, None for a local path."""
    match = _SCHEME.match(path)
    return None if match is None else match[1].lower()


def storage_for(path: str) -> Storage:
    """Return the storage that `path` belongs to: local disk for a plain path."""
    root = _ROOT.match(path)
    if root is None:
        return LocalStorage()
    return HdfsStorage(root[0]) if scheme_of(path) in _HDFS else FsspecStorage(root[0])


def is_local(path: str) -> bool:
    """Whether `path` is a file of this machine, as far as its name tells: a mount's are too."""
    return _ROOT.match(path) is None


def join(folder: str, *names: str) -> str:
    """Join names to a folder or a URL with slashes; an empty folder is the current one."""
    scheme = _SCHEME.match(folder)
    start = scheme[0] if scheme else ""
    rest = folder[len(start) :]
    if rest.startswith("/"):
        start += "/"
    # What is left of the root, or of a bare scheme, needs no slash of its own.
    inner = rest.strip("/")
    return start + "/".join([*([inner] if inner else []), *names])
