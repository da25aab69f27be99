"""Images in, shards out.

    from converter import ConvertOptions, convert

    summary = convert("labels.csv", "shards", ConvertOptions(classes=21_000))

`source` reads the table, `plan` deals its rows to shards, `shard` makes one shard, `engines` run
`shard` in this process or in many, and `run` holds them together.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from converter.options import ConvertOptions
    from converter.run import convert
    from converter.summary import Summary

__all__ = ["ConvertOptions", "Summary", "convert"]

# Imported when they are asked for: `python -m converter` imports this file first, and Ctrl-C during
# the imports is to be caught.
_PLACES = {"ConvertOptions": "options", "Summary": "summary", "convert": "run"}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
