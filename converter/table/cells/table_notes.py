"""What is read as it is written, but may be meant in another way."""

from __future__ import annotations

from collections.abc import Sequence

from converter.table.cells.box_columns import box_columns


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
