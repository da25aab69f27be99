"""What a page is asked for: which records, in which order; as the address of the page says it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from shardio.errors import OptionError

STORED, RAREST, DARK, BRIGHT = "stored", "rarest", "dark", "bright"
SORTS = {
    STORED: "as stored",
    RAREST: "rarest class first",
    DARK: "darkest first",
    BRIGHT: "brightest first",
}
_NAMES = ("split", "shard", "row", "label", "value", "character", "text", "sort", "page")
_ROWS = re.compile(r"\s*([0-9]{1,15})\s*(?:-\s*([0-9]{1,15})\s*)?")
# Conditions of one address, and characters of a text.
_MOST_LABELS = 64
_MOST_TEXT = 1000


@dataclass(frozen=True)
class Query:
    """Conditions that records fulfil, their order, and the page of them, from 1.

    `labels` are pairs of a label's name and its class, a number or a text. Texts that are empty are
    no condition.
    """

    split: str = ""
    shard: str = ""
    rows: tuple[int, int] | None = None
    labels: tuple[tuple[str, str], ...] = ()
    character: str = ""
    text: str = ""
    sort: str = STORED
    page: int = 1

    @classmethod
    def of(cls, given: Mapping[str, Sequence[str]]) -> Query:
        """Read the arguments of an address; OptionError for what cannot be meant."""
        for name in given:
            if name not in _NAMES:
                raise OptionError(f"an address has {', '.join(_NAMES)}, not {name!r}")
        first = {name: values[0] for name, values in given.items()}
        sort = first.get("sort", STORED)
        if sort not in SORTS:
            raise OptionError(f"the order is one of {', '.join(SORTS)}, not {sort!r}")
        page = first.get("page", "1")
        if not re.fullmatch(r"[0-9]{1,12}", page) or not int(page):
            raise OptionError(f"the page is a number from 1 on, not {page!r}")
        rows, text = first.get("row", "").strip(), first.get("text", "").strip()
        match = _ROWS.fullmatch(rows)
        if rows and match is None:
            raise OptionError(f"rows are a number, or a range such as 100-200, not {rows!r}")
        if len(text) > _MOST_TEXT:
            raise OptionError(f"a text of {len(text):,} characters is too long to look for")
        names, values = given.get("label", ()), given.get("value", ())
        if len(names) != len(values) or len(names) > _MOST_LABELS:
            raise OptionError("each label needs one value")
        return cls(
            split=first.get("split", ""),
            shard=first.get("shard", ""),
            rows=None if match is None else (int(match[1]), int(match[2] or match[1])),
            # A form sends the pair that was not filled in, too.
            labels=tuple(
                (name, value.strip())
                for name, value in zip(names, values, strict=True)
                if value.strip()
            ),
            character=first.get("character", "").strip(),
            text=text,
            sort=sort,
            page=int(page),
        )

    @property
    def are_all(self) -> bool:
        """Whether all records are meant."""
        return replace(self, sort=STORED, page=1) == Query()

    def address(self, place: str = "/", **changes: object) -> str:
        """Return the address of this query, with some changes."""
        changed = replace(self, **changes)  # type: ignore[arg-type]
        rows = changed.rows
        pairs = [
            ("split", changed.split),
            ("shard", changed.shard),
            ("row", "" if rows is None else "-".join(map(str, dict.fromkeys(rows)))),
            ("character", changed.character),
            ("text", changed.text),
            ("sort", "" if changed.sort == STORED else changed.sort),
            *(
                pair
                for name, value in changed.labels
                for pair in (("label", name), ("value", value))
            ),
            ("page", "" if changed.page == 1 else str(changed.page)),
        ]
        said = urlencode(
            [pair for pair in pairs if pair[1] or pair[0] == "label"], errors="replace"
        )
        return f"{place}?{said}" if said else place
