"""What a path in a table may name: a file, or a member of an archive."""

from __future__ import annotations

import posixpath

from shardio.storage.paths import scheme_of

SEPARATOR = "::"
# Why a row has no record whose image is not there.
NO_FILE = "no such file"


_SCHEMES = ("tar", "zip")


def chained(path: str) -> tuple[str, str] | None:
    """Return archive and name of `tar://name::archive`, as fsspec writes it; None for the rest."""
    if scheme_of(path) not in _SCHEMES or SEPARATOR not in path:
        return None
    name, _, archive = path.partition("://")[2].partition(SEPARATOR)
    return archive, name


def leaves(path: str) -> bool:
    """Whether a relative path leads out of the folder that it is relative to."""
    if ".." not in path or scheme_of(path) or path.startswith("/"):
        return False
    normal = posixpath.normpath(path)
    return normal == ".." or normal.startswith("../")
