"""Globs over any storage: `*`, `?` and `[...]` in any part of a path, not crossing a slash."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import replace

from shardio.errors import MissingFileError
from shardio.storage.chooser import storage_for
from shardio.storage.protocol import FileInfo

_MAGIC = re.compile(r"[*?\[]")


def is_glob(path: str) -> bool:
    """Whether a path holds a wildcard."""
    return _MAGIC.search(path) is not None


def is_there(name: str) -> bool:
    """Whether there is a file or folder of this name."""
    try:
        storage_for(name).stat(name)
    except (MissingFileError, OSError):
        return False
    return True


def search(pattern: str) -> list[FileInfo]:
    """Return the files that match `pattern`, sorted by path; hidden ones only if asked for."""
    # What is left of the last slash before the first wildcard needs no search.
    magic = _MAGIC.search(pattern)
    cut = pattern.rfind("/", 0, magic.start() if magic else len(pattern)) + 1
    return sorted(_descend(pattern[:cut], pattern[cut:].split("/")), key=lambda info: info.path)


def _descend(folder: str, parts: list[str]) -> list[FileInfo]:
    found: list[FileInfo] = []
    for info in storage_for(folder).list(folder or "."):
        name = info.path.rsplit("/", 1)[-1]
        if not fnmatch.fnmatchcase(name, parts[0]):
            continue
        if name.startswith(".") and not parts[0].startswith("."):
            continue
        path = folder + name
        if len(parts) == 1:
            if not info.is_folder:
                found.append(replace(info, path=path))
        elif info.is_folder:
            found.extend(_descend(f"{path}/", parts[1:]))
    return found
