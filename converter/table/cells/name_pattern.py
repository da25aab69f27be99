"""Columns from the names of images, by the named groups of a pattern."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from converter.table.cells.bad_rows import Bad
from converter.table.paths.locations import SEPARATOR
from shardio.errors import OptionError

_EXAMPLE = r"(?P<text>[^_]+)_\d+"


class NamePattern:
    """A regular expression that whole names of images fit, without their endings.

    With a slash in it, it is for whole paths. `names` are those of the columns. Raises OptionError
    for one that cannot be right.
    """

    def __init__(self, text: str) -> None:
        try:
            self._pattern = re.compile(text)
        except re.error as error:
            raise OptionError(f"the pattern {text!r} is no regular expression: {error}") from error
        self.names = tuple(self._pattern.groupindex)
        if not self.names:
            raise OptionError(f"the pattern {text!r} names no group, as {_EXAMPLE!r} does")
        self._text = text
        self._is_for_paths = "/" in text

    def columns(self, paths: Any) -> tuple[dict[str, Any], list[Bad]]:
        """Return the columns for an Arrow array of paths, and the rows that do not fit.

        A group that has no part in a name is empty.
        """
        import pyarrow as pa

        found: dict[str, list[str]] = {name: [] for name in self.names}
        bad = []
        names = [self._name(path) for path in paths.to_pylist()]
        for row, name in enumerate(names):
            match = self._pattern.fullmatch(name)
            if match is None:
                bad.append(row)
            for group, values in found.items():
                values.append((match and match[group]) or "")
        columns = {name: pa.array(values, pa.large_string()) for name, values in found.items()}

        def describe(row: int) -> str:
            return f"the name {names[row]!r} does not fit --name-pattern {self._text!r}"

        return columns, [Bad(np.array(bad, np.int64), describe)]

    def _name(self, path: str) -> str:
        if not self._is_for_paths:
            path = path.rpartition("/")[2].rpartition(SEPARATOR)[2]
        stem, dot, ending = path.rpartition(".")
        return stem if dot and stem and "/" not in ending else path
