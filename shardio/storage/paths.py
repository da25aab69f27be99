"""Paths and URLs as text."""

from __future__ import annotations

import re

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
# With the host, which some file systems log in to.
_ROOT = re.compile(rf"{_SCHEME.pattern}[^/]*")


def scheme_of(path: str) -> str | None:
    """Return the scheme of a URL in lower case, None for a local path."""
    match = _SCHEME.match(path)
    return None if match is None else match[1].lower()


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


def folder_of(path: str) -> str:
    """Return the folder of a path or URL."""
    return path.rpartition("/")[0] or ("/" if path.startswith("/") else ".")


def name_of(path: str) -> str:
    """Return the last part of a path or URL."""
    return path.rpartition("/")[2]
