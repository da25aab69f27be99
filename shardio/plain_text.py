"""Texts of others, made harmless: no terminal or browser acts on what they hold."""

from __future__ import annotations


def plain_text(text: str) -> str:
    r"""Return a text in one line that can be printed: `\x1b` stands for what nobody can see.

    That is control characters, marks that turn the direction of writing, halves of surrogates and
    characters without an assignment.
    """
    return "".join(_shown(character) for character in text)


def plain_lines(text: str) -> str:
    """Return a text in several lines, each of them plain."""
    return "\n".join(map(plain_text, text.split("\n")))


def _shown(character: str) -> str:
    if character.isprintable():
        return character
    # Spaces of other widths are none that isprintable takes.
    return " " if character.isspace() and ord(character) >= 0xA0 else ascii(character)[1:-1]
