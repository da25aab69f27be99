"""The page of one record: its image as large as it is, and all that is known of it."""

from __future__ import annotations

import base64

import numpy as np
from numpy.typing import NDArray

from reader.browse.list_page import Card, link, mark_box
from reader.browse.query import Query
from reader.look.markup import element, text
from reader.look.pixel_facts import brightness_and_contrast, have_one_colour, luminance
from reader.shardset import ShardSet
from shardio.format.label import Label, columns_of
from shardio.format.transform import COLOURS
from shardio.pictures.picture import png_bytes, rgb, scale_for, scaled

# Small images become larger by a whole number, up to so many pixels a side.
_SIDE = 512


def record_section(
    shards: ShardSet,
    card: Card,
    place: str,
    image: NDArray[np.uint8],
    numbers: NDArray[np.int64],
) -> str:
    """Return a record: image (height, width, channels), numbers, and the place of it."""
    height, width, channels = image.shape
    scale = max(1.0, scale_for(width, height, _SIDE))
    shown = base64.b64encode(png_bytes(scaled(rgb(image), scale))).decode()
    picture = (
        f'<img src="data:image/png;base64,{shown}" width="{round(width * scale)}" '
        f'height="{round(height * scale)}" alt="record {card.number}">'
    )
    brightness, contrast = brightness_and_contrast(luminance(image[None]))
    pairs = [
        *_labels(shards, numbers),
        ("Row of the table", text(f"{card.row}")),
        ("Source", text("not known" if card.path is None else card.path, 10_000)),
        ("Split", text(card.split or "-")),
        ("Place", text(place, 10_000)),
        ("Image", text(f"{width}x{height} pixels, {COLOURS[channels]}")),
        ("Brightness", text(f"{brightness[0]:.1f} of 255, contrast {contrast[0]:.1f}")),
    ]
    if card.member is not None:
        pairs.insert(1, ("Set", text(f"number {card.member} of the sets that were joined")))
    if have_one_colour(image[None])[0]:
        pairs.append(("Colours", "one in all pixels"))
    facts = element("dl", "".join(f"<div><dt>{a}</dt><dd>{b}</dd></div>" for a, b in pairs))
    return element("div", picture, class_="whole") + mark_box(card) + facts


def neighbours(shards: ShardSet, query: Query, number: int) -> str:
    """Return the way back to the records, and to the neighbours as they are stored."""
    links = [link(query.address(), "Back to the records")]
    if number:
        links.append(link(query.address(f"/record/{number - 1}"), "Previous record", rel="prev"))
    if number + 1 < len(shards):
        links.append(link(query.address(f"/record/{number + 1}"), "Next record", rel="next"))
    items = "".join(element("li", one) for one in links)
    return element("nav", f"<ul>{items}</ul>", aria_label="Records", class_="pages")


def _labels(shards: ShardSet, numbers: NDArray[np.int64]) -> list[tuple[str, str]]:
    columns = columns_of([label.kind for label in shards.labels])
    return [
        (text(label.name), _value(label, numbers[of_label]))
        for label, of_label in zip(shards.labels, columns, strict=True)
    ]


def _value(label: Label, numbers: NDArray[np.int64]) -> str:
    """Return a label; of a class a link to all records that have it."""
    words = label.in_words(numbers)
    if not label.kind.is_class:
        return text(words, 10_000)
    number = int(numbers[0])
    # A number may be the text of another class.
    value = str(number) if label.vocabulary is None else label.vocabulary[number]
    same = Query(labels=((label.name, value or str(number)),))
    return link(same.address(), words)
