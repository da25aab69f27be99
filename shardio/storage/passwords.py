"""Passwords in URLs: refused, since they would stand in messages, plans and tables of records."""

from __future__ import annotations

import re

from shardio.errors import UnknownStorageError

# A login with a password, or what is left of one that has a slash in it. Repositories are named
# in the same way: github://org:name@branch.
_PASSWORD = re.compile(
    r"(?!(?:github|gitlab|git)://)[^:]*://[^@]*:[^@]*@"
    r"|(?:ftp|ftps|sftp|ssh|smb|webdavs?|https?)://[^@\[]*:(?![0-9]*$)",
    re.IGNORECASE,
)


def refuse_password(root: str) -> None:
    """Raise UnknownStorageError, which repeats none of it, where a URL's root has a password."""
    if not _PASSWORD.match(root):
        return
    scheme = root.partition("://")[0].lower()
    name = f"FSSPEC_{scheme.upper()}"
    way = f"as {name}_PASSWORD"
    if scheme in ("http", "https"):
        header = '{"headers": {"Authorization": "Basic ..."}}'
        way = f"""as {name}='{{"client_kwargs": {header}}}'"""
    raise UnknownStorageError(
        f"URLs of {scheme}:// name no passwords: they would stand in messages and files. "
        f"Give fsspec what it needs, {way} or in ~/.config/fsspec"
    )
