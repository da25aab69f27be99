"""Images in, shards out.

    from converter import ConvertOptions, convert

    summary = convert("labels.csv", "shards", ConvertOptions(classes=21_000))

docs/design.md shows the rooms and the life of an image.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from converter.options import ConvertOptions
    from converter.report.summary import Summary
    from converter.run import convert

__all__ = ["ConvertOptions", "Summary", "convert"]

# Imported when they are asked for: `python -m converter` imports this file first, and Ctrl-C during
# the imports is to be caught.
_PLACES = {"ConvertOptions": "options", "Summary": "report.summary", "convert": "run"}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
