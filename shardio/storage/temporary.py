"""The names of half-written files: recognisable, hidden, and distinct for every attempt."""

from __future__ import annotations

import re

_TEMPORARY = re.compile(r"\.(.+)\.[A-Za-z0-9_-]+\.tmp", re.DOTALL)


def temporary_name(name: str, attempt: str) -> str:
    """Return the file name under which `attempt` writes what will be called `name`."""
    return f".{name}.{attempt}.tmp"


def final_name(name: str) -> str | None:
    """Return the name that a temporary file would have got; None for any other file."""
    match = _TEMPORARY.fullmatch(name)
    return None if match is None else match[1]
