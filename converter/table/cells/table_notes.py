"""What is read as it is written, but may be meant in another way."""

from __future__ import annotations

import re
from collections.abc import Sequence

from converter.table.cells.box_columns import box_columns

# Control and format characters, variation selectors and other ones without a look.
_UNSEEN = re.compile(
    "[\0-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    "\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff]+"
)
_SHOWN = 3
_SPLITS = {"split", "splits", "subset", "partition"}


def unseen_characters(texts: Sequence[str]) -> list[str]:
    """Note texts that are two classes, and look like one, or like nothing."""
    known = {*texts}
    seen: dict[str, str] = {}
    twins = []
    for text in filter(_UNSEEN.search, texts):
        bare = _UNSEEN.sub("", text).strip()
        other = bare if not bare or bare in known else seen.setdefault(bare, text)
        if other != text:
            twins.append(f"{text!a}" if not bare else f"{text!a} beside {other!a}")
    if not twins:
        return []
    more = ", ..." if len(twins) > _SHOWN else ""
    return [
        "characters that nobody sees make classes of their own; take them out of the table if they "
        f"are slips: {', '.join(twins[:_SHOWN])}{more}"
    ]


def unused_splits(present: list[str], used: Sequence[str]) -> list[str]:
    """Note columns that look like splits."""
    found = [name for name in present if name.casefold() in _SPLITS and name not in used]
    return [
        f"the column {name} looks like splits and is not used, all rows are in split train; "
        f"--split-column {name} takes it, and --split-column '' is for none"
        for name in found[:1]
    ]


def unused_boxes(present: list[str], heads: tuple[str, ...]) -> list[str]:
    """Note columns that look like boxes."""
    unused = [column for column in box_columns(present) if column not in heads]
    if not unused:
        return []
    return [
        f"columns that look like boxes and are not used: {', '.join(unused)}; each row becomes its "
        "whole image, or what --crop cuts out; --crop-columns takes them"
    ]


def texts_of_one_length(head: str, words: Sequence[str], rows: int) -> list[str]:
    """Note labels that are probably several: all of one length, and hardly one twice."""
    lengths = {len(word) for word in words}
    if len(lengths) != 1 or lengths == {1} or 2 * len(words) <= rows or len(words) == 1:
        return []
    return [
        f"each of the {len(words):,} texts of {head} is a class, and all have {lengths.pop()} "
        f"characters; --characters {head} makes a label of each character instead"
    ]
