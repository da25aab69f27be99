"""HTML: texts made harmless, and the elements that a page is made of."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from shardio.plain_text import plain_text

# Longer texts of a table are broken anywhere, since there may be paths among them.
_WORD = 24


def text(value: object, most: int = 500) -> str:
    """Return a text for a page, of `most` characters: nothing is markup, and nothing hidden."""
    plain = plain_text(str(value)[: most + 1])
    return html.escape(plain if len(plain) <= most else f"{plain[: most - 1]}…")


def element(name: str, inner: str = "", **attributes: object) -> str:
    """Return an element; `inner` is markup, and values of attributes are texts.

    A trailing underscore of an attribute's name is left out, and others become hyphens.
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return f"<{name}{given}>{inner}</{name}>"


def _long(value: object) -> str | None:
    """Return the class of a cell whose text may be broken anywhere, such as a path."""
    return "long" if len(str(value)) > _WORD else None


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table of texts, whose first column names the rows; numbers stand to the right."""
    titles = "".join(element("th", text(title), scope="col") for title in head)
    lines = []
    for first, *others in rows:
        cells = "".join(
            element("td", f"{value:,}", class_="number")
            if isinstance(value, int)
            else element("td", text(value), class_=_long(value))
            for value in others
        )
        row = element("th", text(first), scope="row", class_=_long(first))
        lines.append(f"<tr>{row}{cells}</tr>")
    inner = (
        f"{element('caption', text(caption))}<thead><tr>{titles}</tr></thead>"
        f"<tbody>{''.join(lines)}</tbody>"
    )
    # It scrolls by itself where it is too wide, also by keyboard.
    return element(
        "div",
        element("table", inner),
        class_="wide",
        role="region",
        tabindex=0,
        aria_label=caption,
    )


def facts(pairs: Iterable[tuple[str, object]]) -> str:
    """Return a list of names and values, which are texts."""
    return element(
        "dl", "".join(f"<div><dt>{text(a)}</dt><dd>{text(b)}</dd></div>" for a, b in pairs)
    )


def section(identity: str, title: str, *parts: str) -> str:
    """Return a section of a page with its heading."""
    heading = element("h2", text(title), id=f"{identity}-title")
    return element(
        "section", heading + "".join(parts), id=identity, aria_labelledby=f"{identity}-title"
    )


def paragraph(words: str) -> str:
    """Return a paragraph of a text."""
    return element("p", text(words))


def details(title: str, inner: str) -> str:
    """Return what is shown when its title is clicked."""
    return f"<details><summary>{text(title)}</summary>{inner}</details>"
