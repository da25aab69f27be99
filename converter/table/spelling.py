"""One spelling for each path: the same image must not be taken for two."""

from __future__ import annotations

import os
import posixpath
from typing import Any

import numpy as np

from converter.table.locations import SEPARATOR, chained
from shardio.storage.paths import scheme_of

# What may be spelled in another way; most paths are not, and are not looked at one by one.
_ODD = rf"//|(^|/)\.\.?(/|$)|/$|{SEPARATOR}"


class Spelling:
    """Spells paths of a table whose relative ones are below `root`.

    Without `./`, doubled slashes and `..`, relative where they are below the root, and members of
    archives as `archive::name`. Links are not followed, and paths of URLs stay as they are.
    """

    def __init__(self, root: str) -> None:
        self._start = "" if scheme_of(root) else os.path.abspath(root).rstrip("/") + "/"

    def of(self, path: str) -> str:
        """Spell one path."""
        if SEPARATOR in path:
            archive, name = chained(path) or tuple(path.split(SEPARATOR, 1))
            return self.of(archive) + SEPARATOR + posixpath.normpath(name).strip("/")
        if scheme_of(path) or not path:
            return path
        # normpath leaves two slashes at the start as they are.
        normal = posixpath.normpath(f"/{path.lstrip('/')}" if path[0] == "/" else path)
        return normal.removeprefix(self._start) if self._start else normal

    def of_all(self, paths: Any) -> Any:
        """Spell an Arrow array of paths."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if _may_be_odd(paths):
            odd = pc.match_substring_regex(paths, _ODD)
            if self._start:
                odd = pc.or_(odd, pc.starts_with(paths, self._start))
        elif self._start:
            odd = pc.starts_with(paths, self._start)
        else:
            return paths
        rows = np.flatnonzero(odd.to_numpy(zero_copy_only=False))
        if not len(rows):
            return paths
        spelled = [self.of(path) for path in paths.take(pa.array(rows)).to_pylist()]
        return pc.replace_with_mask(paths, odd, pa.array(spelled, paths.type))


def _may_be_odd(paths: Any) -> bool:
    """Whether an array of large strings may have an odd path, by a quick look at all their bytes.

    The regular expression takes thirty times as long.
    """
    _, places, data = paths.buffers()
    ends = np.frombuffer(places, np.int64)[paths.offset : paths.offset + len(paths) + 1]
    if data is None or ends[0] == ends[-1]:
        return False
    text = np.frombuffer(data, np.uint8)[ends[0] : ends[-1]]
    slash, dot, colon = (text == code for code in b"/.:")
    around = (slash | dot)[:-1] & (slash | dot)[1:] & (slash[:-1] | slash[1:])
    last = text[ends[1:] - ends[0] - 1] == ord("/")
    return bool(around.any() or last.any() or (colon[:-1] & colon[1:]).any())
