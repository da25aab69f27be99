"""How the converter was called: by itself, or by `make shards`, where options go in ARGS."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

# Makefile puts it first.
IN_MAKE = "--in-make"
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
_PLACES = 2  # TABLE and OUT


class Call:
    """The words of a command line; in make TABLE and OUT come first."""

    def __init__(self, words: Sequence[str]) -> None:
        self._in_make = list(words[:1]) == [IN_MAKE]
        self.words = list(words[1:] if self._in_make else words)

    def hint(self, message: str) -> str:
        """Return what is to be added to a message that names an option."""
        found = _OPTION.search(message) if self._in_make else None
        return "" if found is None else f" (in make: ARGS='{found[0]} ...')"

    def with_options(self, options: str) -> str:
        """Return the command with more options, as it would be typed."""
        if not self._in_make:
            return f"shardio-convert {shlex.join(self.words)} {options}"
        table, out = map(shlex.quote, self.words[:_PLACES])
        given = shlex.join(self.words[_PLACES:])
        return (
            f"make shards TABLE={table} OUT={out} ARGS={shlex.quote(f'{given} {options}'.strip())}"
        )
