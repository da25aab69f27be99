"""What a folder of a cache holds of one set, for people and for the process that fills it."""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from dataclasses import dataclass

from shardio.storage.folder_lock import try_lock, unlock

COPY = re.compile(r"[0-9a-f]{24}-.+", re.DOTALL)
# A lock shared by all that have the set open; it says what the set is.
OPEN = ".open"
_ORIGIN_BYTES = 1 << 16


@dataclass(frozen=True)
class Origin:
    """What a set in a cache is a copy of: its folders, the number of its shards, and all bytes."""

    folders: tuple[str, ...]
    shards: int
    bytes: int


@dataclass(frozen=True)
class CachedSet:
    """What a cache holds of a set.

    `used` is the time of the last use in seconds since 1970. The `origin` is None where it was
    never said.
    """

    name: str
    origin: Origin | None
    shards: int
    bytes: int
    used: float
    is_open: bool


def cached_set(folder: str) -> CachedSet:
    """Look at the folder of a set."""
    path = os.path.join(folder, OPEN)
    copies = copies_in(folder)
    used = os.stat(path).st_mtime
    for name in copies:
        with suppress(FileNotFoundError):
            used = max(used, os.stat(os.path.join(folder, name)).st_mtime)
    return CachedSet(
        os.path.basename(folder), _origin(path), len(copies), sum(copies.values()), used,
        _is_open(path),
    )  # fmt: skip


def _is_open(path: str) -> bool:
    """Whether another process, or another set of this one, has the set open."""
    lock = try_lock(path)
    if lock is not None:
        unlock(lock)
    return lock is None


def _origin(path: str) -> Origin | None:
    try:
        with open(path, "rb") as file:
            said = json.loads(file.read(_ORIGIN_BYTES))
        return Origin(tuple(map(str, said["folders"])), int(said["shards"]), int(said["bytes"]))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def copies_in(folder: str) -> dict[str, int]:
    """Return the names and sizes of the whole copies in the folder of a set."""
    try:
        with os.scandir(folder) as entries:
            return {e.name: e.stat().st_size for e in entries if is_copy(e)}
    except FileNotFoundError:  # the folder, or a copy in this moment
        return {}


def is_copy(entry: os.DirEntry[str]) -> bool:
    """Whether this is a copy; a link, which leads to a file of somebody else, is none."""
    return bool(COPY.fullmatch(entry.name)) and entry.is_file(follow_symlinks=False)
