"""The folder of what the reader keeps for itself: indexes, tables."""

from __future__ import annotations

import os


def cache_home(kind: str) -> str:
    """Return the folder for one kind of files, in ~/.cache or XDG_CACHE_HOME."""
    # An empty or relative XDG_CACHE_HOME counts as none, as the specification says.
    cache = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(cache):
        cache = os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(cache, "shardio", kind)
