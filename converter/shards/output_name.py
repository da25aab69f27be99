"""The name of the output folder, as it is given."""

from __future__ import annotations

from shardio.errors import OptionError
from shardio.storage.paths import scheme_of


def output_name(out: str) -> str:
    """Return the output folder without slashes at its end; raises OptionError for an empty name."""
    if not out:
        raise OptionError("the name of the output folder is empty")
    folder = out.rstrip("/") or "/"
    if scheme_of(out) is not None and scheme_of(folder) is None:
        raise OptionError(f"{out} names no folder")
    return folder
