"""The page of the records that a query asks for: a form, images with their labels, and marks."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from dataclasses import dataclass

from reader.browse.finder import Found
from reader.browse.query import SORTS, Query
from reader.look.markup import element, paragraph, text
from reader.look.thumbnails import Thumbnail
from reader.shardset import ShardSet
from shardio.pictures.captions import caption

PAGE = 48
# Shards of a set with more are typed, not chosen.
_LISTED_SHARDS = 200


@dataclass(frozen=True)
class Card:
    """A record on a page: its number, split, row, member of a join, path and image.

    Where it is damaged there is no image, and `damage` says why.
    """

    number: int
    split: str
    row: int = 0
    member: int | None = None
    path: str | None = None
    image: Thumbnail | None = None
    damage: str = ""

    @property
    def mark(self) -> str:
        """What a list says of the record, as JSON: every character of a path stays as it is."""
        marked = {"row": self.row, "path": self.path, "member": self.member}
        return html.escape(json.dumps(marked))


def link(address: str, words: str, **attributes: str) -> str:
    """Return a link within the site, whose address is whole however long it is."""
    given = "".join(f' {name.rstrip("_")}="{value}"' for name, value in attributes.items())
    return f'<a href="{html.escape(address)}"{given}>{text(words)}</a>'


def records_section(shards: ShardSet, query: Query, found: Found, cards: Sequence[Card]) -> str:
    """Return how many records were found, those of the page, and the way to the others."""
    if not len(found):
        return _status("No record fulfils all conditions.") + paragraph(
            "Take one of them away, or look for something shorter."
        )
    first = (query.page - 1) * PAGE + 1
    last = min(first + PAGE - 1, len(found))
    said = f"Records {first:,} to {last:,} of {len(found):,}, {SORTS[query.sort]}."
    several = len(shards.splits) > 1
    items = "".join(_item(shards, query, card, several) for card in cards)
    pages = _pages(query, len(found))
    return _status(said) + _marks() + element("ul", items, class_="images") + pages


def form(shards: ShardSet, query: Query, splits: Sequence[str], names: Sequence[str]) -> str:
    """Return the conditions of a query, to be changed."""
    fields = [_field("Text in path or label", "text", query.text, kind="search")]
    distinct = list(dict.fromkeys(filter(None, splits)))
    if len(distinct) > 1:
        fields.append(_choice("Split", "split", query.split, [("", "all"), *_pairs(distinct)]))
    if 1 < len(names) <= _LISTED_SHARDS:
        fields.append(_choice("Shard", "shard", query.shard, [("", "all"), *_pairs(names)]))
    elif len(names) > 1:
        fields.append(_field("Shard", "shard", query.shard))
    rows = "" if query.rows is None else "-".join(map(str, dict.fromkeys(query.rows)))
    fields.append(_field("Row, or rows 10-20", "row", rows))
    heads = [label.name for label in shards.labels if label.kind.is_class]
    if heads:
        # One more than there are; a pair without a value is no condition.
        for name, value in [*query.labels, ("", "")]:
            pair = _choice("Label", "label", name, _pairs(heads))
            fields.append(pair + _field("Class, number or text", "value", value))
    if any(label.vocabulary is not None for label in shards.labels):
        fields.append(_field("Character, in any label", "character", query.character))
    sorts = [(name, words) for name, words in SORTS.items() if heads or name != "rarest"]
    fields.append(_choice("Order", "sort", query.sort, sorts))
    buttons = '<button type="submit">Show</button>' + (
        "" if query == Query() else link("/", "Clear")
    )
    inner = "".join(fields) + element("div", buttons, class_="buttons")
    return f'<form action="/" method="get" class="filters" role="search">{inner}</form>'


def _pairs(names: Sequence[str]) -> list[tuple[str, str]]:
    return [(name, name) for name in names]


def _field(words: str, name: str, value: str, *, kind: str = "text") -> str:
    entry = f'<input type="{kind}" name="{name}" value="{html.escape(value)}" autocomplete="off">'
    return element("label", text(words) + entry)


def _choice(words: str, name: str, value: str, options: Sequence[tuple[str, str]]) -> str:
    inner = "".join(
        f'<option value="{html.escape(one)}"{" selected" if one == value else ""}>'
        f"{text(shown)}</option>"
        for one, shown in options
    )
    return element("label", text(words) + f'<select name="{name}">{inner}</select>')


def _status(words: str) -> str:
    return element("p", text(words), role="status")


def _marks() -> str:
    """Return what is done with the rows that are marked: in the browser, which keeps them."""
    buttons = "".join(
        f'<button type="button" data-do="{what}">{words}</button>'
        for what, words in (
            ("page", "Mark this page"),
            ("none", "Unmark all"),
            ("save", "Download the list"),
        )
    )
    inner = element("output", "", aria_live="polite") + buttons
    inner += element(
        "span", text("for shards.drop(rows=...) and shardio-convert --drop"), class_="soft"
    )
    return element("div", inner, class_="marks", hidden="hidden")


def _item(shards: ShardSet, query: Query, card: Card, several: bool) -> str:
    address = query.address(f"/record/{card.number}")
    place = f"#{card.number}"
    if card.image is None:
        damage = element("p", text(f"Damaged: {card.damage}"))
        return element("li", damage + element("p", link(address, place), class_="soft"))
    lines = caption(shards.labels, card.image.numbers)
    small = card.image
    picture = (
        f'<img src="{small.url}" width="{small.width}" height="{small.height}" '
        f'alt="{text(f"record {card.number}: " + " ".join(lines))}" decoding="async">'
    )
    place += f" row {card.row}" + (f" {card.split}" if several else "")
    parts = [f'<a href="{html.escape(address)}">{picture}</a>']
    parts += [
        element("p", text(line), class_="text" if not at else None) for at, line in enumerate(lines)
    ]
    parts.append(element("p", text(place), class_="soft"))
    if card.path is not None:
        parts.append(element("p", text(card.path), class_="soft"))
    parts.append(mark_box(card))
    return element("li", "".join(parts))


def mark_box(card: Card) -> str:
    """Return what marks a record."""
    return (
        '<label class="mark" hidden><input type="checkbox" data-mark="'
        f'{card.mark}"> mark<span class="unseen"> record {card.number}</span></label>'
    )


def _pages(query: Query, count: int) -> str:
    """Return links to other pages."""
    last = max(1, -(-count // PAGE))
    if last == 1:
        return ""
    links = []
    if query.page > 1:
        links.append(link(query.address(page=1), "First"))
        links.append(link(query.address(page=query.page - 1), "Previous", rel="prev"))
    links.append(element("span", text(f"Page {query.page:,} of {last:,}"), aria_current="page"))
    if query.page < last:
        links.append(link(query.address(page=query.page + 1), "Next", rel="next"))
        links.append(link(query.address(page=last), "Last"))
    items = "".join(element("li", one) for one in links)
    return element("nav", f"<ul>{items}</ul>", aria_label="Pages", class_="pages")
