"""Files that hold several images: one is taken, as Pillow does it, and they are counted."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from converter.imaging.transformer import ImageTransformer
from shardio.format.transform import Transform
from tests.converter.inputs import encoded, picture, run, write_csv

SIZE = (24, 16)
PAGES = [picture("RGB", *SIZE, seed=seed) for seed in range(3)]


def file_of(pages: list[Image.Image], kind: str, **options: Any) -> bytes:
    first, *others = pages
    return encoded(first, kind, save_all=True, append_images=others, **options)


SEVERAL = {
    "GIF": file_of(PAGES, "GIF"),
    "WebP": file_of(PAGES, "WEBP", lossless=True),
    "PNG": file_of(PAGES, "PNG"),
    "PNG, the first image of no frame": file_of(PAGES, "PNG", default_image=True),
    "TIFF": file_of(PAGES, "TIFF"),
    "TIFF, compressed": file_of(PAGES, "TIFF", compression="tiff_lzw"),
    "MPO": file_of(PAGES, "MPO"),
    "ICO": encoded(PAGES[0], "ICO", sizes=[(16, 10), (8, 5)]),
}
ONE = {
    **{kind: encoded(PAGES[0], kind) for kind in ("GIF", "WEBP", "PNG", "TIFF", "JPEG", "BMP")},
    "ICO": encoded(PAGES[0], "ICO", sizes=[(16, 10)]),
    "GIF, saved as one of one": file_of(PAGES[:1], "GIF"),
    "MPO of one": file_of(PAGES[:1], "MPO"),
}


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("name", [*SEVERAL, *(f"one {name}" for name in ONE)])
def test_the_image_that_pillow_opens_is_taken_and_counted(name: str, strict: bool) -> None:
    data = {**SEVERAL, **{f"one {name}": data for name, data in ONE.items()}}[name]
    opened = Image.open(io.BytesIO(data))
    for box in (None, (0, 0, 9, 4)):
        transformer = ImageTransformer(
            Transform(box, opened.size if box is None else (9, 4), resample="none"), strict=strict
        )
        wanted = np.asarray((opened if box is None else opened.crop(box)).convert("RGB"))
        assert transformer.pixels(data) == wanted.tobytes()
        assert transformer.counts.several == (name in SEVERAL)


@pytest.mark.parametrize("name", ["GIF", "TIFF"])
def test_damage_behind_the_image_that_is_taken_is_no_matter(name: str) -> None:
    data = SEVERAL[name]
    transformer = ImageTransformer(Transform(size=SIZE, resample="none"))
    whole = transformer.pixels(data)
    assert transformer.pixels(data[: len(data) * 2 // 5]) == whole


def test_summary_and_dry_run_say_how_many(tmp_path: Path) -> None:
    files = {**SEVERAL, **{f"one {name}": data for name, data in ONE.items()}}
    for number, data in enumerate(files.values()):
        (tmp_path / f"{number}").write_bytes(data)
    table = write_csv(tmp_path / "t.csv", ["path", "y0"], [[n, 0] for n in range(len(files))])
    dry = run(table, tmp_path / "out", "--size", "8x8", "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert f"{len(SEVERAL)} of several in a file" in dry.stdout
    made = run(table, tmp_path / "out", "--size", "8x8")
    assert made.returncode == 0, made.stderr
    assert f"{len(SEVERAL)} of several in a file" in made.stdout
    said = f"{len(SEVERAL)} of {len(files)} records ({len(SEVERAL) / len(files):.1%}) are of files"
    assert f"{said} that hold several images" in made.stderr
