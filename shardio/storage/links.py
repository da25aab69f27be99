"""Symbolic links where shardio writes: what they lead to belongs to somebody else."""

from __future__ import annotations

from shardio.errors import OutputError
from shardio.storage.chooser import storage_for


def refuse_link(path: str) -> None:
    """Raise OutputError if `path` itself is a symbolic link."""
    if storage_for(path).is_link(path):
        raise link_error(path)


def link_error(path: str) -> OutputError:
    """Return the error for a symbolic link in a place that is written to."""
    return OutputError(
        f"{path} is a symbolic link, and what it leads to is never written to or deleted; "
        "remove the link"
    )
