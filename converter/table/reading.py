"""How a table is to be read, where it does not tell by itself."""

from __future__ import annotations

import codecs
from dataclasses import dataclass, fields
from typing import Any

from shardio.errors import OptionError

PATH = "path"
SPLIT = "split"
_ESCAPES = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "space": " "}


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What to take a table for. Raises OptionError for values that cannot be right."""

    delimiter: str | None = None
    """What divides the cells of a line; None finds it."""
    encoding: str | None = None
    """The encoding of the text, as Python names it; None finds it."""
    columns: tuple[str, ...] | None = None
    """The names of the columns of a list without header."""

    def __post_init__(self) -> None:
        if self.delimiter is not None and (
            len(self.delimiter) != 1 or not self.delimiter.isascii() or self.delimiter in '\r\n"\0'
        ):
            raise OptionError(
                f"the delimiter must be one ASCII character, such as ; or tab, not "
                f"{self.delimiter!r}"
            )
        if self.encoding is not None:
            try:
                "".encode(self.encoding)
                codecs.getincrementaldecoder(self.encoding)
            except (LookupError, ValueError):
                raise OptionError(
                    f"{self.encoding!r} is no encoding of text; known are utf-8, utf-16, gb18030, "
                    "latin-1 and all that Python knows"
                ) from None
        if self.columns is not None:
            _check_names(self.columns)

    def to_json(self) -> dict[str, Any]:
        """Return what was asked for, for the plan; empty where a table tells all by itself."""
        values = ((field.name, getattr(self, field.name)) for field in fields(self))
        return {name: value for name, value in values if value not in (None, (), False)}


def parse_delimiter(text: str) -> str:
    """Read one character, or the name of one: tab, comma, semicolon, space."""
    return _ESCAPES.get(text.lower(), text)


def _check_names(columns: tuple[str, ...]) -> None:
    if not columns or "" in columns or len({*columns}) < len(columns):
        raise OptionError(
            f"the names of columns must be there, each once, not {', '.join(columns)!r}"
        )
