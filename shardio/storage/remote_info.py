"""What file systems of fsspec say of a file, in their various words."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from shardio.storage.protocol import FileInfo

# Where file systems say when a file was written.
_TIME_KEYS = ("mtime", "modified", "LastModified", "last_modified", "updated", "created")
# What tells one version of a file from another, in the words of the various file systems.
_IDENTITY_KEYS = (
    *("ETag", "etag", "md5Hash", "generation"),
    *("ino", "mtime", "LastModified", "last_modified", "created"),
)


def info_of(path: str, entry: dict[str, Any]) -> FileInfo:
    """Return what an entry of a listing says."""
    size = int(entry.get("size") or 0)
    # memory:// gives a time in its list where info gives a date; the two must agree.
    marks = [
        str(mark.timestamp() if isinstance(mark, datetime) else mark)
        for key in _IDENTITY_KEYS
        if (mark := entry.get(key)) is not None
    ]
    times = [entry.get(key) for key in _TIME_KEYS]
    modified = next((at for time in times if (at := _seconds(time)) is not None), 0.0)
    identity = ":".join([str(size), *marks])
    return FileInfo(path, size, identity, entry.get("type") == "directory", modified)


def _seconds(time: object) -> float | None:
    if isinstance(time, datetime):
        return time.timestamp()
    return float(time) if isinstance(time, int | float) else None
