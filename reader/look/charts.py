"""Charts as static SVG: they take the page's colours, and need no script."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from reader.look.markup import element, text

_WIDTH, _HEIGHT = 420, 280
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 10, 10, 40
# Points of a line that has more.
_POINTS = 200
# Lines that a chart can tell apart by colour and dashes.
MOST_LINES = 4


def rank_chart(
    title: str, lines: Sequence[tuple[str, NDArray[np.int64]]], what: str = "class"
) -> str:
    """Draw frequency against rank, both on log axes: a line for each name and its frequencies.

    Those are above 0, the greatest first. At most four lines are drawn.
    """
    shown = [(name, values) for name, values in lines[:MOST_LINES] if len(values)]
    most_rank = max([1, *(len(values) for _, values in shown)])
    most = max([1, *(int(values[0]) for _, values in shown)])
    parts = [*_log_axis(most_rank, f"rank of the {what}", across=True)]
    # Of a vector or a text one record may have a value several times.
    parts += _log_axis(most, "records" if what == "class" else "times", across=False)
    for number, (_, values) in enumerate(shown):
        ranks = np.unique(np.geomspace(1, len(values), min(len(values), _POINTS)).astype(np.int64))
        points = [
            (_x(_log_share(int(rank), most_rank)), _y(_log_share(int(values[rank - 1]), most)))
            for rank in ranks
        ]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline class="line line{number}" points="{path}"/>')
        if len(points) == 1:
            x, y = points[0]
            parts.append(f'<circle class="dot line{number}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>')
    if len(shown) > 1:
        parts += _legend([name for name, _ in shown])
    return _svg(title, parts)


def histogram(title: str, values: NDArray[np.floating], low: float, high: float, axis: str) -> str:
    """Draw how often values from `low` to `high` occur, in 32 bars."""
    counts, edges = np.histogram(values, bins=32, range=(low, high))
    most = max(1, int(counts.max(initial=0)))
    parts = []
    for share in (0.0, 0.5, 1.0):
        parts += _tick(_x(share), f"{low + share * (high - low):g}", across=True)
    for count in (0, most):
        parts += _tick(_y(count / most), f"{count:,}", across=False)
    parts += [_axis_title(axis, across=True), _axis_title("images", across=False)]
    span = high - low or 1.0
    for count, left, right in zip(counts.tolist(), edges[:-1], edges[1:], strict=True):
        x, end = _x((left - low) / span), _x((right - low) / span)
        y = _y(count / most)
        parts.append(
            f'<rect class="bar" x="{x:.1f}" y="{y:.1f}" width="{end - x - 0.6:.1f}" '
            f'height="{_y(0) - y:.1f}"/>'
        )
    return _svg(title, parts)


def _svg(title: str, parts: Sequence[str]) -> str:
    frame = (
        f'<path class="axis" d="M{_LEFT},{_TOP}V{_HEIGHT - _BOTTOM}H{_WIDTH - _RIGHT}" '
        'fill="none"/>'
    )
    return element(
        "svg",
        element("title", text(title)) + frame + "".join(parts),
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        role="img",
        class_="chart",
    )


def _x(share: float) -> float:
    return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)


def _y(share: float) -> float:
    return _TOP + (1 - share) * (_HEIGHT - _TOP - _BOTTOM)


def _log_share(value: int, most: int) -> float:
    return math.log(value) / math.log(most) if most > 1 else 0.0


def _log_axis(most: int, title: str, *, across: bool) -> list[str]:
    """Return the powers of ten below `most`, and `most` itself, on an axis."""
    powers = [10**power for power in range(math.ceil(math.log10(most)) if most > 1 else 1)]
    # Labels that would lie on each other are left out.
    marks = [mark for mark in powers if mark == 1 or _log_share(mark, most) < 0.85]
    if most > 1:
        marks.append(most)
    parts = [_axis_title(title, across=across)]
    for mark in marks:
        share = _log_share(mark, most)
        parts += _tick(_x(share) if across else _y(share), f"{mark:,}", across=across)
    return parts


def _tick(place: float, label: str, *, across: bool) -> list[str]:
    if across:
        y = _HEIGHT - _BOTTOM
        anchor = "end" if place > _WIDTH - _RIGHT - 8 else "middle"
        return [
            f'<path class="grid" d="M{place:.1f},{_TOP}V{y}"/>',
            f'<text x="{place:.1f}" y="{y + 15}" text-anchor="{anchor}">{text(label)}</text>',
        ]
    return [
        f'<path class="grid" d="M{_LEFT},{place:.1f}H{_WIDTH - _RIGHT}"/>',
        f'<text x="{_LEFT - 5}" y="{place + 4:.1f}" text-anchor="end">{text(label)}</text>',
    ]


def _axis_title(title: str, *, across: bool) -> str:
    if across:
        return (
            f'<text x="{_x(0.5):.1f}" y="{_HEIGHT - 6}" text-anchor="middle">{text(title)}</text>'
        )
    y = _y(0.5)
    return (
        f'<text transform="translate(12,{y:.1f}) rotate(-90)" text-anchor="middle">'
        f"{text(title)}</text>"
    )


def _legend(names: Sequence[str]) -> list[str]:
    """Name the lines, where none of them runs: they fall from the left to the right."""
    parts = []
    for number, name in enumerate(names):
        y = _HEIGHT - _BOTTOM - 12 - 16 * (len(names) - 1 - number)
        parts.append(f'<path class="line line{number}" d="M{_LEFT + 12},{y - 4}h24"/>')
        parts.append(f'<text x="{_LEFT + 42}" y="{y}">{text(name[:20])}</text>')
    return parts
