"""One JSON array of objects, cut into a line for each object."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import Protocol

from shardio.errors import TableError

_READ_BYTES = 1 << 20
_LONGEST = 1 << 26
_SPACE = re.compile(r"[ \t\r\n]*")


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class ArrayLines:
    """Reads the elements of the array in `stream`, as JSON Lines; `name` is that of the table.

    Elements stay as they are written, but for line breaks between their parts.
    """

    def __init__(self, stream: _Readable, name: str) -> None:
        self._lines = _elements(stream, name)
        self._ended = False

    def read(self, size: int) -> bytes:
        """Return whole lines of about `size` bytes; none at the end. Raises TableError."""
        parts: list[bytes] = []
        count = 0
        for line in self._lines:
            parts.append(line)
            count += len(line)
            if count >= size:
                break
        return b"".join(parts)


def _elements(stream: _Readable, name: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    scan = json.JSONDecoder().raw_decode
    text = ""
    place = row = 0
    want = _READ_BYTES
    ended = opened = False
    while True:
        place = _SPACE.match(text, place).end()  # type: ignore[union-attr]
        left = text[place : place + 1]
        if left and not opened:
            opened = True
            place += 1  # it is the bracket, or nobody would ask for the elements
            if text[_SPACE.match(text, place).end() :][:1] == "]":  # type: ignore[union-attr]
                break
            continue
        try:
            _, end = scan(text, place)
            after = _SPACE.match(text, end).end()  # type: ignore[union-attr]
            # A number may go on behind the piece, and what divides elements must be there.
            if after == len(text) and not ended:
                raise ValueError
        except RecursionError:
            raise TableError(
                f"{name} cannot be read: values are nested too deep in row {row}; leave this "
                "column out"
            ) from None
        except ValueError:
            if ended:
                raise TableError(
                    f"{name} cannot be read: JSON parse error: the array is not whole in row {row}"
                ) from None
            if len(text) - place > _LONGEST:
                raise TableError(f"{name}: row {row} has more than {_LONGEST:,} bytes") from None
            data = stream.read(want)
            ended = not data
            text = text[place:] + decoder.decode(data, final=ended)
            place = 0
            want = max(_READ_BYTES, len(text))
            continue
        yield re.sub(r"[\r\n]", " ", text[place:end]).encode("utf-8", "surrogateescape") + b"\n"
        row += 1
        if text[after : after + 1] == "]":
            place = after
            break
        if text[after : after + 1] != ",":
            raise TableError(
                f"{name} cannot be read: JSON parse error: no comma behind row {row - 1} of the "
                "array"
            )
        place = after + 1
    # Only white space may follow.
    rest = text[place:].lstrip().removeprefix("]")
    while not rest.strip() and not ended and (data := stream.read(_READ_BYTES)):
        rest = decoder.decode(data)
    if rest.strip():
        raise TableError(f"{name} cannot be read: JSON parse error: text follows the array")
