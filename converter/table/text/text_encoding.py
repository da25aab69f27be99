"""How the text of a table is encoded: found by strict trials of few encodings, and read as UTF-8.

Libraries that guess by frequency are wrong on short tables of few different characters. A mark at
the start tells, null bytes tell UTF-16, and what is UTF-8 throughout is nearly never anything else.
What is GB18030 throughout may be Latin letters with accents, or text in another encoding of two
bytes a character, so the shape of it is looked at too.
"""

from __future__ import annotations

import codecs
import re
from typing import Any, BinaryIO

from converter.table.inputs import TableInput, compression_of
from converter.table.text.other_readings import OTHERS, may_be
from shardio.errors import TableError

_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    b"\x84\x31\x95\x33": "gb18030",
}
# Nobody has characters for private use in a table: what gives some is Big5, mostly.
_PRIVATE = re.compile("[\ue000-\uf8ff]")
_READ_BYTES = 1 << 20
_SHOWN = 20
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven")
# The share of null bytes that text of mostly ASCII has in every second place.
_NULLS = 0.2
# A character of GB18030; the group is a letter with an accent, or a sign, of Latin-1 before a plain
# letter.
_PAIR = re.compile(
    rb"[\x81-\xfe][0-9][\x81-\xfe][0-9]|([\xa1-\xfe][A-Za-z])|[\x81-\xfe][\x40-\xfe]"
)
_WORD = re.compile(r"[^\s,;|\"]*[^\x00-\x7f][^\s,;|\"]*")

UTF_8 = "utf-8"
NAMES = {"utf-8": "UTF-8", "utf-16": "UTF-16", "utf-16-le": "UTF-16", "utf-16-be": "UTF-16"}


def find_encoding(table: TableInput) -> str:
    """Return the encoding of a file as Python names it.

    Raises TableError for what is in none of UTF-8, UTF-16 and GB18030, or may be in several.
    """
    with table.open() as stream:
        start = stream.read(_READ_BYTES)
    if (compression := compression_of(start)) is not None:
        raise TableError(f"{table.name} is compressed with {compression}; let its name say so")
    for mark, encoding in _MARKS.items():
        if start.startswith(mark):
            return encoding
    if start:
        for encoding, first in (("utf-16-be", 0), ("utf-16-le", 1)):
            nulls = start[first::2].count(0), start[1 - first :: 2].count(0)
            if nulls[0] > _NULLS * len(start) / 2 and nulls[1] * 10 < nulls[0]:
                return encoding
    if (place := _first_fault(table, UTF_8)) is None:
        return UTF_8
    if _first_fault(table, "gb18030") is None:
        _refuse_other_readings(table)
        return "gb18030"
    raise TableError(
        f"{table.name} is neither UTF-8 (byte {place:,} cannot be) nor UTF-16 or GB18030; "
        "--encoding names what it is, for example latin-1, cp1251, shift_jis or big5"
    )


def _first_fault(table: TableInput, encoding: str) -> int | None:
    """Return a byte that an encoding cannot have, the first one; None where it can have all.

    GB18030 can have characters for private use, which count as none.
    """
    decoder = codecs.getincrementaldecoder(encoding)()
    place = 0
    with table.open() as stream:
        while True:
            data = stream.read(_READ_BYTES)
            waiting = len(decoder.getstate()[0])
            if not data.isascii() or not data or waiting or encoding != UTF_8:
                try:
                    text = decoder.decode(data, final=not data)
                except UnicodeDecodeError as error:
                    return place - waiting + error.start
                if encoding != UTF_8 and _PRIVATE.search(text):
                    return place
            if not data:
                return None
            place += len(data)


def _refuse_other_readings(table: TableInput) -> None:
    """Raise TableError where the text is as probably in another encoding."""
    with table.open() as stream:
        start = _from_first_character(stream)
    pairs = _PAIR.findall(start)
    # Most characters are such a pair: as GB18030 those are hanzi that are rare.
    latin = {"Latin-1": "latin-1"} if 2 * sum(map(bool, pairs)) > len(pairs) else {}
    others = {
        name: codec
        for name, codec in OTHERS.items()
        if not (latin and codec == "cp1251")  # its letters stand together
        and may_be(start, codec)
        and _first_fault(table, codec) is None
    }
    if not (ways := latin | others):
        return
    ways = {"GB18030": "gb18030"} | ways
    # The first line that says how they differ.
    for line in start.split(b"\n"):
        words = [_WORD.search(line.decode(codec, "replace")) for codec in ways.values()]
        shown = [word[0][:_SHOWN] if word else "" for word in words]
        if not any(word == shown[0] for word in shown[1:]):
            break
    read = [
        (f"{word!r} in {name}", f"--encoding {codec}")
        for word, (name, codec) in zip(shown, ways.items(), strict=True)
    ]
    said, options = (
        ", or ".join((", ".join(all_[:-1]), all_[-1])) for all_ in zip(*read, strict=True)
    )
    raise TableError(
        f"{table.name} is not UTF-8 and may be read in {_NUMBERS[len(read)]} ways: {said}; give "
        f"{options.replace(', or ', ' or ')}"
    )


def _from_first_character(stream: BinaryIO) -> bytes:
    """Return a piece of a file in which its first character that is not ASCII is."""
    before = b""
    while data := stream.read(_READ_BYTES):
        if not data.isascii():
            # It need not begin with a whole character, but the line before it does.
            line = before.rpartition(b"\n")[2] if len(before) < _READ_BYTES else b""
            return line + data
        before = data
    return b""


class Utf8Stream:
    """The text of a file as UTF-8, without a mark at its start."""

    def __init__(self, table: TableInput, encoding: str) -> None:
        self._stream: Any = table.open()
        codec = codecs.lookup(encoding)
        # UTF-8 stays as it is: what is damaged is reported where it is read.
        self._decoder = None if codec.name == UTF_8 else codec.incrementaldecoder()
        self._at_start = True

    def __enter__(self) -> Utf8Stream:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stream.close()

    def read(self, size: int) -> bytes:
        """Return some bytes, about `size`; none at the end."""
        while True:
            # At the start more than the mark, so that it comes in one piece.
            data: bytes = self._stream.read(max(size, 8) if self._at_start else size)
            text = data
            if self._decoder is not None:
                text = self._decoder.decode(data, final=not data).encode()
            if self._at_start and text:
                text = text.removeprefix(codecs.BOM_UTF8)
                self._at_start = False
            if text or not data:
                return text
