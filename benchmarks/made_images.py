"""Image files to convert: smooth colours with grain, as of photographs, in three usual kinds."""

from __future__ import annotations

import csv
import tempfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Kind:
    """A kind of file: its name, size in pixels, and how it is written."""

    name: str
    width: int
    height: int
    format: str
    bytes: int | None = None
    """All files have so many: what no decoder reads follows the image."""

    @property
    def title(self) -> str:
        """The kind in words."""
        colour = "RGBA PNG" if self.format == "PNG" else self.format
        return f"{colour} {self.width}x{self.height}"


KINDS = (
    Kind("jpeg", 344, 384, "JPEG"),
    Kind("large-jpeg", 1920, 1080, "JPEG"),
    Kind("png", 300, 200, "PNG"),
)
# So many are drawn; the others are copies, each a file of its own.
_DRAWN = 100
HEADS = ("y0", "y1", "y2", "y3")


def _drawn(kind: Kind, seed: int) -> bytes:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0 : kind.height, 0 : kind.width]
    waves = [
        np.sin(x / rng.uniform(15, 60) + y / rng.uniform(15, 60)) * rng.uniform(20, 60)
        for _ in range(3)
    ]
    pixels = 128 + np.stack(waves, -1) + rng.normal(0, 3, (kind.height, kind.width, 3))
    image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    data = BytesIO()
    if kind.format == "PNG":
        image.putalpha(255)
        image.save(data, "PNG")
    else:
        image.save(data, kind.format, quality=90)
    if kind.bytes is not None:
        assert data.tell() <= kind.bytes, "the image alone has more"
        data.write(rng.bytes(kind.bytes - data.tell()))
    return data.getvalue()


def write_images(folder: Path, kind: Kind, count: int) -> Path:
    """Write `count` files and labels.csv with four heads to `folder`; returns the table.

    Keeps a folder that is there: whatever is in it, it is whole, since it got its name last.
    """
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            _write(Path(scratch, folder.name), kind, count)
            Path(scratch, folder.name).rename(folder)
    return folder / "labels.csv"


def _write(folder: Path, kind: Kind, count: int) -> None:
    folder.mkdir()
    drawn = [_drawn(kind, seed) for seed in range(min(count, _DRAWN))]
    rng = np.random.default_rng(0)
    rows = []
    for number in range(count):
        name = f"{number:06}.{kind.format.lower()}"
        (folder / name).write_bytes(drawn[number % _DRAWN])
        rows.append([name, *rng.integers(0, 21_000, len(HEADS)).tolist()])
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path", *HEADS], *rows])
