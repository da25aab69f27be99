"""What a training leaves for people to look at: predictions beside images, and its curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reader import ShardSet
from shardio.pictures.captions import caption
from shardio.pictures.contact_sheet import Tile, contact_sheet
from shardio.pictures.picture import framed, png_bytes, rgb, scale_for, scaled

_SHOWN = 48
_SIDE = 192
_RIGHT, _WRONG = (40, 150, 70), (205, 40, 40)
_COLOURS = ("#1f6fb4", "#c8501e", "#2f8f4e", "#8a4fb0", "#a0782a", "#4a4a4a", "#c04080", "#3aa0a0")


def write_predictions(
    path: Path, shards: ShardSet, predicted: NDArray[np.int64], shown: int = _SHOWN
) -> None:
    """Draw the first images of a set with their labels, and with predictions that differ.

    `predicted` is (records, heads), in the order of the set. Wrong ones have a red frame.
    """
    tiles = []
    for record in range(min(shown, len(predicted), len(shards))):
        image, true = shards[record]
        labels = np.array(true if isinstance(true, list) else [true])
        image = scaled(rgb(image), scale_for(image.shape[1], image.shape[0], _SIDE))
        right = bool((labels == predicted[record]).all())
        box = (2, 2, image.shape[1] - 2, image.shape[0] - 2)
        texts = [" ".join(caption(shards.labels, labels))]
        texts.append("right" if right else " ".join(caption(shards.labels, predicted[record])))
        tiles.append(Tile(framed(image, box, _RIGHT if right else _WRONG), tuple(texts)))
    path.write_bytes(png_bytes(contact_sheet(tiles, ["labels, and below them the predictions"])))


def write_curves(path: Path, history: Mapping[str, Sequence[float]]) -> None:
    """Draw loss and accuracy by epochs as an SVG: training dashed, validation solid."""
    panels = []
    for number, kind in enumerate(("loss", "accuracy")):
        chosen = {
            name: values
            for name, values in history.items()
            if values and (name in ("loss", "val_loss") if kind == "loss" else kind in name)
        }
        panels.append(_panel(kind, chosen, 40 + number * 440))
    panels.append('<text x="40" y="330" fill="#555">dashed: training, solid: validation</text>')
    body = "\n".join(panels)
    path.write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" width="900" height="340" '
        f'font-family="sans-serif" font-size="12">\n<rect width="900" height="340" fill="white"/>\n'
        f"{body}\n</svg>\n",
        encoding="utf-8",
    )


def _panel(title: str, lines: Mapping[str, Sequence[float]], left: int) -> str:
    width, top, height = 270, 40, 250
    values = [value for line in lines.values() for value in line if np.isfinite(value)]
    high = 1.0 if title == "accuracy" else max(values, default=1.0) or 1.0
    count = max([2, *map(len, lines.values())])
    parts = [
        f'<text x="{left}" y="24" font-weight="bold">{title} by epoch</text>',
        f'<rect x="{left}" y="{top}" width="{width}" height="{height}" fill="none" stroke="#999"/>',
        f'<text x="{left - 4}" y="{top + 10}" text-anchor="end">{high:.3g}</text>',
        f'<text x="{left - 4}" y="{top + height}" text-anchor="end">0</text>',
        f'<text x="{left}" y="{top + height + 16}">1</text>',
        f'<text x="{left + width}" y="{top + height + 16}" text-anchor="end">{count}</text>',
    ]
    names = sorted({name.removeprefix("val_") for name in lines})
    for name, line in lines.items():
        place = names.index(name.removeprefix("val_"))
        colour = _COLOURS[place % len(_COLOURS)]
        dash = "" if name.startswith("val_") else ' stroke-dasharray="5 4"'
        points = " ".join(
            f"{left + width * at / (count - 1):.1f},{top + height * (1 - min(value / high, 1)):.1f}"
            for at, value in enumerate(line)
            if np.isfinite(value)
        )
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.6"{dash}/>'
        )
    for place, name in enumerate(names):
        y = top + 12 + 16 * place
        colour = _COLOURS[place % len(_COLOURS)]
        parts.append(f'<text x="{left + width + 8}" y="{y}" fill="{colour}">{escape(name)}</text>')
    return "\n".join(parts)


def ended_line(epochs: int, wanted: int, out: Path) -> str:
    """Say that nothing was trained, since the training in `out` had ended, and how to go on."""
    if epochs < wanted:
        return (
            f"this training was stopped early after {epochs} of {wanted} epochs, and nothing was "
            "trained now; another --out (make: RUN=) begins from the start"
        )
    return (
        f"this training had ended, after {epochs} epochs, and nothing was trained now; "
        f"--epochs {2 * epochs} --out {out} goes on (make train: EPOCHS={2 * epochs}); another "
        "--out (make: RUN=) begins from the start"
    )
