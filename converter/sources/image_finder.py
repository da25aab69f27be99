"""Images that do not lie where the table says, and yet are there.

Tables come from other machines: with backslashes, with accents in two parts (NFD) or in one, with
white space around names, with ids in place of names, or with the table's folder named in each path.
Only where no file lies at the place itself is anything else looked at, and what is found is taken
where it is the only one.
"""

from __future__ import annotations

import os
import posixpath
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import product

from converter.table.paths.folder_listing import IMAGE_ENDINGS, ending_of
from converter.table.paths.locations import NO_FILE, SEPARATOR, leaves
from converter.table.paths.spelling import SPACE
from converter.table.table import Table
from shardio.errors import MissingFileError, UnusableFileError
from shardio.storage import storage_for
from shardio.storage.paths import is_local, join

# Folders above the root that are looked in for a hint.
_ABOVE = 3
_ENDINGS = tuple(
    f".{ending}" for lower in sorted(IMAGE_ENDINGS) for ending in (lower, lower.upper())
)


@dataclass(frozen=True)
class ImageFinder:
    """Looks for images whose places are below `root`, by the paths of a table in `folder`.

    `extension` is what paths without an ending got.
    """

    root: str
    folder: str | None = None
    extension: str | None = None

    @classmethod
    def of(cls, table: Table) -> ImageFinder:
        """Return the finder for the images of a table."""
        return cls(table.root, table.folder, table.extension)

    def read(self, location: str, read: Callable[[str], bytes]) -> bytes:
        """Read the image that is meant by a place where none is.

        Raises MissingFileError, which says what would help, where there is none or several.
        """
        if SEPARATOR in location:
            return _only_member(location, read)
        path = self._relative(location)
        places = dict.fromkeys(self._places(location, path))
        places.pop(location, None)
        found = _files(places)
        if not found and is_local(location) and ending_of(path) not in IMAGE_ENDINGS:
            found = _files(
                place + ending for place, ending in product([location, *places], _ENDINGS)
            )
        if len(found) == 1:
            return read(found[0])
        raise MissingFileError(f"{location}: {NO_FILE}{self._hint(location, path, found)}")

    def _relative(self, location: str) -> str:
        return location.removeprefix(join(self.root, ""))

    def _places(self, location: str, path: str) -> Iterator[str]:
        """Yield other places of an image; its path is relative, or as the table has it."""
        paths = list(_spellings(path))
        if self.extension is not None:
            paths += [text.removesuffix(self.extension) for text in paths]
        is_relative = path != location
        for text in paths:
            if not is_relative:
                yield text
            elif not leaves(text):
                yield join(self.root, text)
                yield from (join(self.root, rest) for rest in _without(self.root, text))
            if is_relative and self.folder is not None and not text.startswith("/"):
                place = posixpath.normpath(join(self.folder, text))
                if _is_below(place, self.root):
                    yield place

    def _hint(self, location: str, path: str, found: list[str]) -> str:
        if found:
            endings = sorted(f".{ending_of(place)}" for place in found)
            stems = {place.removesuffix(ending_of(place)) for place in found}
            if len(stems) == 1 and all(endings):
                return (
                    f"; there are several of other endings ({', '.join(endings)}), and --extension "
                    "says which is meant"
                )
            return f"; several others may be meant, such as {' and '.join(sorted(found)[:2])}"
        if not is_local(location):
            return ""
        if path != location:
            for root in _roots(self.root):
                if os.path.isfile(join(root, path)):
                    return f"; --root {root} finds it"
        stem, dot, own = location.rpartition(".")
        if dot and own.lower() in IMAGE_ENDINGS:
            others = [ending for ending in _ENDINGS if os.path.isfile(stem + ending)]
            if others:
                return f"; there is one with the ending {', '.join(others)}"
        return ""


def _spellings(path: str) -> Iterator[str]:
    slashes = path.replace("\\", "/")
    for text in (path, slashes):
        for form in (text, "/".join(part.strip(SPACE) for part in text.split("/"))):
            yield form
            if not form.isascii():
                yield unicodedata.normalize("NFC", form)
                yield unicodedata.normalize("NFD", form)


def _without(root: str, path: str) -> Iterator[str]:
    """Yield a path without the folders at its start with which the root ends."""
    above = [
        part for part in (os.path.abspath(root) if is_local(root) else root).split("/") if part
    ]
    parts = path.split("/")
    for count in range(1, min(len(parts), len(above) + 1)):
        if parts[:count] == above[-count:]:
            yield "/".join(parts[count:])


def _is_below(place: str, root: str) -> bool:
    if not is_local(root):
        return True
    top = os.path.abspath(root).rstrip("/") + "/"
    return os.path.abspath(place).startswith(top)


def _roots(root: str) -> Iterator[str]:
    """Yield roots that paths may be meant relative to."""
    yield "."
    for count in range(1, _ABOVE + 1):
        yield posixpath.normpath(join(root, *[".."] * count))


def _files(places: Iterable[str]) -> list[str]:
    """Return the files at some places, each by the first place that leads to it."""
    found: dict[object, str] = {}
    for place in places:
        with suppress(MissingFileError, UnusableFileError):
            if is_local(place):
                with suppress(OSError, ValueError):
                    status = os.stat(place)
                    if os.path.isfile(place):
                        found.setdefault((status.st_dev, status.st_ino), place)
            elif not storage_for(place).stat(place).is_folder:
                found.setdefault(place, place)
    return list(found.values())


def _only_member(location: str, read: Callable[[str], bytes]) -> bytes:
    """Read the only member of an archive that another spelling of a place names."""
    found = []
    for place in dict.fromkeys(_spellings(location)):
        if place != location:
            with suppress(MissingFileError):
                found.append(read(place))
    if len(found) == 1:
        return found[0]
    raise MissingFileError(f"{location}: {NO_FILE}")
