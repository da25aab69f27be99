"""Texts without what nobody sees: white space around them, and accents that are written apart."""

from __future__ import annotations

from typing import Any

from converter.table.cells.columns import plain, shown
from shardio.grammar import counted

_MOST = 10_000
_EXAMPLES = 3


class PlainTexts:
    """Trims texts and brings them to NFC, and keeps count of those that were other ones."""

    def __init__(self) -> None:
        self._changed: dict[str, str] = {}

    def of(self, column: Any) -> Any:
        """Return an Arrow array of large strings, plain."""
        import pyarrow.compute as pc

        encoded = column.dictionary_encode()
        words = encoded.dictionary
        as_plain = plain(words)
        changed = pc.not_equal(words, as_plain)
        if not pc.any(changed).as_py():
            return column
        pairs = zip(
            words.filter(changed).to_pylist(), as_plain.filter(changed).to_pylist(), strict=True
        )
        if len(self._changed) < _MOST:
            self._changed.update(pairs)
        return as_plain.take(encoded.indices)

    def notes(self) -> list[str]:
        """Say which texts were joined with others, or taken for plain ones."""
        found = [text for text, as_plain in self._changed.items() if as_plain]
        if not found:
            return []
        examples = [f"{shown(text)!r}" for text in found[:_EXAMPLES]]
        many = "at least " if len(self._changed) >= _MOST else ""
        return [
            "labels that differ in white space around them or in the form of accents (NFC) only "
            f"were joined: {many}{counted(len(found), 'text')}, such as {', '.join(examples)}"
        ]
