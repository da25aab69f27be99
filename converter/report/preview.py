"""A preview: some images of a table before and after, with their labels, drawn for people."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from converter.options import ConvertOptions
from converter.shards.first_look import UNUSABLE, sampled, settle
from converter.shards.shard import box_of, reject_of
from converter.shards.source_table import check_places, read_source
from converter.sources.archives import known_archives
from shardio.grammar import agreeing, counted
from shardio.pictures.captions import caption, heads_line
from shardio.pictures.contact_sheet import Tile
from shardio.pictures.picture import Picture, framed, rgb, scale_for, scaled

_BOX = (230, 0, 80)
_GAP = 8
_PAPER = 250


@dataclass(frozen=True)
class Preview:
    """Pictures of the first images of a table; `title` says what they show."""

    title: list[str]
    tiles: list[Tile]


def preview(
    table: Sequence[str],
    options: ConvertOptions,
    *,
    count: int,
    side: int,
    root: str | None = None,
    unique: bool = False,
) -> Preview:
    """Read a table and do to its first `count` images what a conversion would; writes nothing.

    No side of an image is drawn with more than `side` pixels. Raises as `convert` does.
    """
    from converter.imaging.before_after import BeforeAfter, Previewer

    check_places(table, root)
    with known_archives():
        source = read_source(table, options, root=root, unique=unique)
        options, look = settle(source, options, None, dry_run=False)
        previewer = Previewer(
            options.transform,
            strict=options.strict_decode,
            max_pixels=options.max_pixels,
            truncated=options.truncated,
        )
        heads = source.heads_of(options.classes)
        rows = np.arange(min(count, len(source)), dtype=np.int64)
        tiles, rejected, blank = [], 0, 0
        with sampled(source, time.sleep, rows) as images:
            for row, path, location, read in images:
                try:
                    found = previewer.look(read(), box_of(source.boxes, row), side)
                except UNUSABLE as error:
                    reason = reject_of(error, row, path, location).reason
                    found = BeforeAfter(None, None, None, reason)
                rejected += found.after is None
                blank += found.after is not None and bool((found.after == found.after[0, 0]).all())
                labels = caption(heads, source.labels[row])
                why = [f"rejected: {found.reason}"] if found.reason else []
                picture = _picture(found.before, found.box, found.after, side)
                place = f"row {row} {path}" if source.has_paths else path
                tiles.append(Tile(picture, (*why, *labels, place)))
    done = options.transform.line("" if look is None else look.sources)
    first = f"the first {counted(len(tiles), 'image')} of {len(source):,}"
    title = [f"{source.name}: {first}; {heads_line(heads)}", done]
    if rejected:
        title.append(f"{rejected:,} of them would be rejected")
    if blank:
        title.append(
            f"{blank:,} of them {agreeing(blank, 'has')} one colour in all pixels: see whether the "
            "box is where you mean it"
        )
    return Preview(title, tiles)


def _picture(
    before: Picture | None,
    box: tuple[int, int, int, int] | None,
    after: Picture | None,
    side: int,
) -> Picture:
    """Draw an image with its box, and what is stored of it to the right."""
    parts = []
    if before is not None:
        parts.append(before if box is None else framed(before, box, _BOX))
    if after is not None:
        height, width, _ = after.shape
        parts.append(scaled(rgb(after), scale_for(width, height, side)))
    if not parts:
        return np.full((side // 4, side, 3), 225, dtype=np.uint8)
    height = max(len(part) for part in parts)
    width = sum(part.shape[1] for part in parts) + _GAP * (len(parts) - 1)
    picture = np.full((height, width, 3), _PAPER, dtype=np.uint8)
    x = 0
    for part in parts:
        picture[: len(part), x : x + part.shape[1]] = part
        x += part.shape[1] + _GAP
    return picture
