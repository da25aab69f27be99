"""Whether some paths of a table end as images do, and others are ids without an ending."""

from __future__ import annotations

from typing import Any

import numpy as np

from converter.table.paths.folder_listing import IMAGE_ENDINGS, ending_of

# Endings of images have two to four letters, behind a dot.
_PLACES = range(1, 6)
_LEAST = 3


class Endings:
    """The first path of each kind, as far as there are both."""

    def __init__(self) -> None:
        self._with = self._without = ""

    def add(self, paths: Any) -> None:
        """Look at an Arrow array of large strings."""
        if (self._with and self._without) or not len(paths):
            return
        _, places, data = paths.buffers()
        if data is None or not data.size:
            return
        # Nearly all paths of a table are of one kind, which their bytes show.
        ends = np.frombuffer(places, np.int64)[paths.offset : paths.offset + len(paths) + 1]
        text = np.frombuffer(data, np.uint8)
        dotted = np.zeros(len(paths), np.bool_)
        of_folder = np.zeros(len(paths), np.bool_)
        for place in _PLACES:
            at = ends[1:] - place
            letter = np.where(at >= ends[:-1], text[np.maximum(at, 0)], ord("/"))
            of_folder |= letter == ord("/")
            if place >= _LEAST:
                dotted |= (letter == ord(".")) & ~of_folder
        for rows in (np.flatnonzero(dotted), np.flatnonzero(~dotted & (ends[1:] > ends[:-1]))):
            if len(rows):
                path = paths[int(rows[0])].as_py()
                if ending_of(path) in IMAGE_ENDINGS:
                    self._with = self._with or path
                else:
                    self._without = self._without or path

    def notes(self) -> list[str]:
        """Say that an image may be there under two paths."""
        if not (self._with and self._without):
            return []
        return [
            f"some paths have the ending of an image, such as {self._with!r}, and others none, "
            f"such as {self._without!r}; an image that is there with both is not seen to be one, "
            "unless --extension says which ending the others get"
        ]
