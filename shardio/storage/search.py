"""Names that stand for several, on any storage.

Globs have `*`, `?` and `[...]` in any part of a path, not crossing a slash. Braces are as shells
and WebDataset write them: `train-{000..099}.tar`, `{a,b}.csv`.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator
from dataclasses import replace

from shardio.errors import MissingFileError, OptionError
from shardio.storage.chooser import storage_for
from shardio.storage.protocol import FileInfo

_MAGIC = re.compile(r"[*?\[]")
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"([0-9]+)\.\.([0-9]+)")
_MOST = 1_000_000


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


def expanded(name: str) -> Iterator[str]:
    """Yield the names that a name with braces stands for; one that is there is meant as it is.

    Raises OptionError for a range of more than a million names.
    """
    match = next((one for one in _BRACES.finditer(name) if _values(one[1], name)), None)
    if match is None or is_there(name):
        yield name
        return
    for value in _values(match[1], name):
        yield from expanded(f"{name[: match.start()]}{value}{name[match.end() :]}")


def _values(text: str, name: str) -> list[str]:
    """Return what one pair of braces stands for; nothing where that is no list and no range."""
    span = _RANGE.fullmatch(text)
    if span is None:
        return text.split(",") if "," in text else []
    first, last = int(span[1]), int(span[2])
    if last - first >= _MOST:
        raise OptionError(f"{name} stands for {last - first + 1:,} names; {_MOST:,} is the most")
    # Zeros in front of a number are kept, as shells do it.
    zeros = any(len(one) > 1 and one.startswith("0") for one in span.groups())
    width = max(map(len, span.groups())) if zeros else 0
    return [f"{number:0{width}}" for number in range(first, last + 1)]
