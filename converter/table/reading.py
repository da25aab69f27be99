"""How a table is to be read, where it does not tell by itself."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass, fields
from typing import Any

from converter.table.cells.name_pattern import NamePattern
from converter.table.cells.number_texts import whole_number
from converter.table.paths.folder_listing import IMAGE_ENDINGS, ending_of
from shardio.errors import OptionError
from shardio.format.naming import SPLIT_PATTERN

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
    path_column: str | None = None
    """The column of paths; None is `path`."""
    split_column: str | None = None
    """The column of splits; None is `split`, where there is one, and "" is none."""
    split_names: tuple[tuple[str, str], ...] = ()
    """What the splits of the table are called instead."""
    extension: str | None = None
    """What paths without an ending of images get, such as `.png`."""
    name_pattern: str | None = None
    """A regular expression whose named groups are columns from the names of the images."""

    characters: str | None = None
    """A column of texts, each character of which is a label."""
    missing: str | None = None
    """The class of labels that are empty or -1, or the text of those that are empty."""

    @property
    def missing_class(self) -> int | None:
        """The class of labels that are missing, where these are integers."""
        return None if self.missing is None else whole_number(self.missing)

    @property
    def path(self) -> str:
        """The column of paths."""
        return PATH if self.path_column is None else self.path_column

    @property
    def split(self) -> str | None:
        """The column of splits, which need not be there; None where none is wanted."""
        return SPLIT if self.split_column is None else self.split_column or None

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
        if self.path_column == "" or self.path == self.split:
            raise OptionError(f"the column {self.path!r} cannot be the paths")
        for text, name in self.split_names:
            if not re.fullmatch(SPLIT_PATTERN, name):
                raise OptionError(
                    f"split {text!r} cannot be called {name!r}: that is not a letter, then "
                    "letters, digits or _"
                )
        if self.extension is not None and ending_of(f"x{self.extension}") not in IMAGE_ENDINGS:
            raise OptionError(
                f"the extension must be one of images, such as .png, not {self.extension!r}"
            )
        if self.characters == "":
            raise OptionError("the column of characters has no name")
        if self.missing is not None and not self.missing.strip():
            raise OptionError("what is missing must be called something")
        if self.name_pattern is not None:
            NamePattern(self.name_pattern)

    def to_json(self) -> dict[str, Any]:
        """Return what was asked for, for the plan; empty where a table tells all by itself."""
        values = ((field.name, getattr(self, field.name)) for field in fields(self))
        return {
            name: dict(value) if name == "split_names" else value
            for name, value in values
            if value not in (None, (), False)
        }


def parse_delimiter(text: str) -> str:
    """Read one character, or the name of one: tab, comma, semicolon, space."""
    return _ESCAPES.get(text.lower(), text)


def parse_split_names(text: str) -> tuple[tuple[str, str], ...]:
    """Read `0=train,1=val`; the names of the table are before the last = of each part."""
    pairs = [part.rpartition("=") for part in text.split(",")]
    found = tuple((old.strip(), new.strip()) for old, _, new in pairs)
    if "" in (part for pair in found for part in pair) or len(dict(found)) < len(found):
        raise OptionError(f"names of splits must be like 0=train,1=val, not {text!r}")
    return found


def _check_names(columns: tuple[str, ...]) -> None:
    if not columns or "" in columns or len({*columns}) < len(columns):
        raise OptionError(
            f"the names of columns must be there, each once, not {', '.join(columns)!r}"
        )
