"""What a path in a table may name: a file, or a member of an archive."""

from __future__ import annotations

from shardio.storage.paths import scheme_of

SEPARATOR = "::"


_SCHEMES = ("tar", "zip")


def chained(path: str) -> tuple[str, str] | None:
    """Return archive and name of `tar://name::archive`, as fsspec writes it; None for the rest."""
    if scheme_of(path) not in _SCHEMES or SEPARATOR not in path:
        return None
    name, _, archive = path.partition("://")[2].partition(SEPARATOR)
    return archive, name
