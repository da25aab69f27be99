"""Columns of a table that look like boxes in its images, which the converter does not cut out."""

from __future__ import annotations

import re
from collections.abc import Sequence

_CORNERS = (
    "xmin ymin xmax ymax",
    "minx miny maxx maxy",
    "x0 y0 x1 y1",
    "x1 y1 x2 y2",
    "xtl ytl xbr ybr",
    "startx starty endx endy",
    "left top right bottom",
    "left top width height",
    "left top w h",
    "x y w h",
    "x y width height",
    "cx cy w h",
    "cx cy width height",
    "xc yc w h",
    "xcenter ycenter w h",
    "xcenter ycenter width height",
)
_WHOLE = {"bbox", "bboxes", "bndbox", "boundingbox", "box", "boxes", "polygon", "segmentation"}
_PREFIX = re.compile(r"(bbox|bndbox|boundingbox|box|rect|roi)(?=.)")


def short_name(name: str) -> str:
    """Return a column's name without what is not told apart: `bbox_xMin` is `xmin`."""
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    return plain if plain in _WHOLE else _PREFIX.sub("", plain, count=1)


def box_columns(names: Sequence[str]) -> tuple[str, ...]:
    """Return those of the names that are of boxes, such as xmin, ymin, xmax and ymax together."""
    short = [short_name(name) for name in names]
    found = {
        part for corners in _CORNERS if {*corners.split()} <= {*short} for part in corners.split()
    }
    return tuple(
        name for name, key in zip(names, short, strict=True) if key in found or key in _WHOLE
    )
