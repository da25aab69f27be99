"""The storages that the images of a table are on."""

from __future__ import annotations

from typing import Any

# A member of an archive may be named before it, as fsspec does: tar://name::archive.
_ROOT = r"^(?:[A-Za-z0-9]+://.*::)?(?P<root>[A-Za-z][A-Za-z0-9+.-]*://[^/]*)"
# Images of more hosts than that are a crawl, whose hosts come and go.
_MOST = 100


class Roots:
    """The roots of paths, each with the first row that has it: scheme and host, or none."""

    def __init__(self) -> None:
        self._found: dict[str | None, tuple[int, str]] = {}

    @property
    def examples(self) -> tuple[tuple[int, str], ...]:
        """A row and its path for each root."""
        return tuple(self._found.values())

    def add(self, paths: Any, first: int) -> None:
        """Look at an Arrow array of paths, those of the rows from `first` on."""
        import pyarrow.compute as pc

        if not len(paths) or len(self._found) >= _MOST:
            return
        if not pc.any(pc.match_substring(paths, "://")).as_py():
            self._found.setdefault(None, (first, paths[0].as_py()))
            return
        roots = pc.struct_field(pc.extract_regex(paths, _ROOT), "root")
        for root in pc.unique(roots).to_pylist():
            if root not in self._found and len(self._found) < _MOST:
                known = pc.is_null(roots) if root is None else pc.equal(roots, root)
                row = pc.index(known, True).as_py()
                self._found[root] = first + row, paths[row].as_py()
