"""A label column of texts of varying length, kept as the ids of their characters.

A text becomes `length` ids, those of its characters first and 0 in the places that it does not use,
and the number of its characters. Ids begin at 1: 0 is free for the blank of CTC and for padding. A
character is a code point; texts are trimmed, and normalised to NFC.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from converter.table.cells.bad_rows import Bad
from converter.table.cells.columns import plain, shown, texts
from shardio.format.label import CLASS, INT, LabelKind

_CODE_POINTS = 0x110000


class SequenceColumn:
    """The texts of one head, of at most `length` characters, as code points or as ids.

    They are ids of `given` characters, if there are any, else code points, which the ids take the
    place of when all are `seen`.
    """

    def __init__(self, length: int, given: tuple[str, ...] | None) -> None:
        self._length = length
        self._ids = None if given is None else ids_of(given)
        self.seen = np.zeros(_CODE_POINTS if given is None else 0, dtype=np.bool_)

    @property
    def kinds(self) -> tuple[LabelKind, ...]:
        """The ids, and how many of them are used."""
        return LabelKind(INT, self._length), CLASS

    def numbers(self, column: Any) -> tuple[NDArray[np.int64], list[Bad]]:
        """Return a slice as numbers (rows, length + 1), and what is bad about it."""
        import pyarrow as pa
        import pyarrow.compute as pc

        column = plain(texts(column))
        lengths = pc.utf8_length(column).to_numpy(False).astype(np.int64)
        fits = (lengths > 0) & (lengths <= self._length)
        kept = pc.if_else(pa.array(fits), column, "")
        codes = np.frombuffer("".join(kept.to_pylist()).encode("utf-32-le"), dtype="<u4")
        used = np.where(fits, lengths, 0)
        row_of = np.repeat(np.arange(len(used)), used)
        place = np.arange(len(codes)) - np.repeat(np.cumsum(used) - used, used)
        known = codes > 0
        ids = codes.astype(np.int64)
        if self._ids is not None:
            ids = self._ids[codes].astype(np.int64)
            known = ids > 0
        else:
            self.seen[codes] = True
        strange = np.flatnonzero(~known)
        rows, first = np.unique(row_of[strange], return_index=True)
        char = dict(zip(rows.tolist(), codes[strange[first]].tolist(), strict=True))

        def text(row: int) -> str:
            return repr(shown(column[row].as_py()))

        def too_long(row: int) -> str:
            return f"{text(row)}, of {lengths[row]} characters; {self._length} is the most"

        def unknown(row: int) -> str:
            return f"{text(row)}, and {chr(char[row])!r} is not in the vocabulary"

        out = np.zeros((len(lengths), self._length + 1), dtype=np.int64)
        out[row_of, place] = ids
        out[:, -1] = used
        return out, [
            Bad(np.flatnonzero(lengths == 0), lambda row: "missing"),
            Bad(np.flatnonzero(lengths > self._length), too_long),
            Bad(rows, unknown),
        ]


def ids_of(characters: tuple[str, ...]) -> NDArray[np.int32]:
    """Return the id of each code point, 0 for one that is none of the characters."""
    ids = np.zeros(_CODE_POINTS, dtype=np.int32)
    ids[[ord(character) for character in characters]] = np.arange(1, len(characters) + 1)
    return ids
