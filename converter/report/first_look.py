"""A first look at the images, for people."""

from __future__ import annotations

from converter.imaging.image_counts import ImageCounts
from converter.report.reasons import reasons
from converter.shards.first_look import FirstLook
from shardio.grammar import counted

_SHOWN_SIZES = 5


def look_lines(look: FirstLook, rows: int) -> list[str]:
    """Say what the images are that a dry run of a table of `rows` rows has looked at."""
    sizes = ", ".join(f"{w}x{h} ({n:,})" for (w, h), n in look.sizes.most_common(_SHOWN_SIZES))
    more = len(look.sizes) - _SHOWN_SIZES
    modes = ", ".join(f"{mode} ({count:,})" for mode, count in look.modes.most_common())
    counts = look.counts or ImageCounts()
    return [
        f"sample    {look.looked_at:,} of {counted(rows, 'image')} looked at, "
        f"{len(look.rejects):,} "
        "of them would be rejected",
        *(f"reject    {line}" for line in reasons(look.rejects)),
        f"sizes     {sizes or 'none'}{f' and {more:,} more' if more > 0 else ''}",
        f"modes     {modes or 'none'}; {counts.transparent:,} with transparent parts, "
        f"{look.turned:,} with an EXIF orientation, {counts.several:,} of several in a file",
    ]
