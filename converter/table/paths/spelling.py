"""One spelling for each path: the same image must not be taken for two."""

from __future__ import annotations

import os
import posixpath
import unicodedata
from typing import Any

import numpy as np

from converter.table.paths.folder_listing import IMAGE_ENDINGS, ending_of
from converter.table.paths.locations import SEPARATOR, chained, leaves
from shardio.storage.paths import scheme_of

_NOT_ASCII = 0x80
# White space that is left out at the ends of names.
SPACE = " \t\r\n\f"
# What may be spelled in another way; most paths are not, and are not looked at one by one.
_ODD = rf"//|(^|/)\.\.?(/|$)|/$|{SEPARATOR}|\\|(^|/)[{SPACE}]|[{SPACE}](/|$)"

_IMAGE = rf"[^/]\.({'|'.join(sorted(IMAGE_ENDINGS))})$"
# Nothing, or what is spelled one by one.
_UNPLAIN = rf"^$|{_ODD}"


class Spelling:
    """Spells paths of a table whose relative ones are below `root`.

    Without `./`, doubled slashes, `..`, backslashes and white space around names, with accents as
    NFC has them, relative where they are below the root, and members of archives as
    `archive::name`. Paths that leave the root are relative to `folder`, that of the table, if there
    is one. What has no ending of an image gets the `extension`, if that is given. Links are not
    followed, and paths of URLs stay as they are.
    """

    def __init__(self, root: str, folder: str | None = None, extension: str | None = None) -> None:
        self._start = "" if scheme_of(root) else os.path.abspath(root).rstrip("/") + "/"
        self._inner = "" if folder is None else os.path.relpath(folder, root)
        self._extension = extension

    def leaves(self, path: str) -> bool:
        """Whether a path leads out of the root."""
        return leaves(self._from_root(path))

    def of(self, path: str) -> str:
        """Spell one path."""
        path = unicodedata.normalize("NFC", path)
        if (member := chained(path)) is not None:
            path = SEPARATOR.join(member)
        if self._extension is not None and path and ending_of(path) not in IMAGE_ENDINGS:
            path += self._extension
        return self._of(path)

    def _of(self, path: str) -> str:
        if SEPARATOR in path:
            archive, name = path.split(SEPARATOR, 1)
            return self._of(archive) + SEPARATOR + posixpath.normpath(_plain(name)).strip("/")
        if scheme_of(path) or not path:
            return path
        path = self._from_root(_plain(path))
        # normpath leaves two slashes at the start as they are.
        normal = posixpath.normpath(f"/{path.lstrip('/')}" if path[0] == "/" else path)
        return normal.removeprefix(self._start) if self._start else normal

    def of_all(self, paths: Any) -> Any:
        """Spell an Arrow array of paths."""
        import pyarrow as pa
        import pyarrow.compute as pc

        is_ascii, may_be_odd = _look_at(paths)
        if self._extension is not None:
            paths = self._extended(paths)
        if not is_ascii:
            paths = pc.utf8_normalize(paths, "NFC")
        if may_be_odd:
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

    def _extended(self, paths: Any) -> Any:
        """Return paths with the extension, where they are plain and have no ending of an image."""
        import pyarrow as pa
        import pyarrow.compute as pc

        complete = pc.match_substring_regex(paths, _IMAGE, ignore_case=True)
        bare = pc.invert(pc.or_(complete, pc.match_substring_regex(paths, _UNPLAIN)))
        parts = (pa.scalar(text, paths.type) for text in (self._extension, ""))
        longer = pc.binary_join_element_wise(paths, *parts)
        return pc.if_else(bare, longer, paths)

    def _from_root(self, path: str) -> str:
        return posixpath.join(self._inner, path) if self._inner and leaves(path) else path


def _plain(path: str) -> str:
    """Return a path with slashes only and without white space around its names."""
    plain = "/".join(part.strip(SPACE) for part in path.replace("\\", "/").split("/"))
    return plain or path


def _look_at(paths: Any) -> tuple[bool, bool]:
    """Return whether all of an array of large strings is ASCII, and whether a path may be odd.

    A look at all bytes: the regular expression takes thirty times as long.
    """
    _, places, data = paths.buffers()
    ends = np.frombuffer(places, np.int64)[paths.offset : paths.offset + len(paths) + 1]
    if data is None or ends[0] == ends[-1]:
        return True, False
    text = np.frombuffer(data, np.uint8)[ends[0] : ends[-1]]
    slash, dot, colon = (text == code for code in b"/.:")
    around = (slash | dot)[:-1] & (slash | dot)[1:] & (slash[:-1] | slash[1:])
    last = text[ends[1:] - ends[0] - 1] == ord("/")
    other = (text <= ord(" ")) | (text == ord("\\"))
    pairs = (colon[:-1] & colon[1:]).any()
    may_be_odd = around.any() or last.any() or pairs or other.any()
    return bool(text.max() < _NOT_ASCII), bool(may_be_odd)
