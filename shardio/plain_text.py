"""Texts of others, made harmless: no terminal or browser acts on what they hold."""

from __future__ import annotations

import io
from typing import TextIO


def plain_text(text: str) -> str:
    r"""Return a text in one line that can be printed: `\x1b` stands for what nobody can see.

    That is control characters, marks that turn the direction of writing, halves of surrogates and
    characters without an assignment.
    """
    return "".join(_shown(character) for character in text)


def plain_lines(text: str) -> str:
    """Return a text in several lines, each of them plain."""
    return "\n".join(map(plain_text, text.split("\n")))


class PlainStream(io.StringIO):
    """A stream that passes on what is written to it, in plain lines."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream

    def write(self, text: str, /) -> int:
        """Write a text."""
        return self._stream.write(plain_lines(text))

    def flush(self) -> None:
        """Flush the stream that it is passed on to."""
        self._stream.flush()


def _shown(character: str) -> str:
    if character.isprintable():
        return character
    # Spaces of other widths are none that isprintable takes.
    return " " if character.isspace() and ord(character) >= 0xA0 else ascii(character)[1:-1]
