"""Contact sheets, pictures in terminals, and images brought to RGB and to a size."""

from __future__ import annotations

import re
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from shardio.errors import OptionError
from shardio.pictures.contact_sheet import Tile, contact_sheet
from shardio.pictures.half_blocks import half_blocks, terminal_rows
from shardio.pictures.lettering import lettering
from shardio.pictures.picture import framed, png_bytes, resized, rgb, scale_for, scaled


def image(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def holds(sheet: np.ndarray, part: np.ndarray) -> bool:
    """Whether a picture lies somewhere in another one."""
    height, width, _ = part.shape
    corner = np.all(sheet[: 1 - height or None, : 1 - width or None] == part[0, 0], axis=-1)
    starts = np.argwhere(corner)
    places = [(slice(y, y + height), slice(x, x + width)) for y, x in starts.tolist()]
    return any(np.array_equal(sheet[place], part) for place in places)


def test_a_sheet_holds_each_image_pixel_by_pixel() -> None:
    tiles = [Tile(image(20 + seed, 30, seed), (f"label {seed}", "#1")) for seed in range(7)]
    sheet = contact_sheet(tiles, ["title"])
    assert sheet.dtype == np.uint8
    assert all(holds(sheet, tile.image) for tile in tiles)


def test_a_white_image_has_a_frame() -> None:
    white = np.full((20, 30, 3), 255, dtype=np.uint8)
    sheet = contact_sheet([Tile(white, ())] * 3)
    framed_white = np.full((22, 32, 3), 205, dtype=np.uint8)
    framed_white[..., 2] = 203
    framed_white[1:-1, 1:-1] = 255
    assert holds(sheet, framed_white)


def test_a_sheet_holds_its_texts_as_they_are_drawn() -> None:
    sheet = contact_sheet([Tile(image(8, 8), ("中国", "#5"))], ["title"])
    dark = np.asarray(sheet.max(axis=-1, keepdims=True) < 128, dtype=np.uint8).repeat(3, -1)
    for text in ("title", "中国", "#5"):
        ink = lettering(text)
        ink = ink[:, ink.any(0).argmax() :][..., None].repeat(3, -1)
        assert holds(dark, ink[ink.any((1, 2)).argmax() :][:8]), text


@pytest.mark.parametrize("count", [0, 1, 5, 64])
def test_a_sheet_of_any_number_of_images(count: int) -> None:
    sheet = contact_sheet([Tile(image(32, 128, i), ("a b c",)) for i in range(count)])
    assert sheet.shape[2] == 3
    if count == 64:
        assert 1 < sheet.shape[1] / sheet.shape[0] < 2


def test_a_sheet_that_nobody_could_open_is_refused() -> None:
    tile = Tile(np.zeros((224, 224, 3), np.uint8), ())
    with pytest.raises(OptionError, match="show fewer"):
        contact_sheet([tile] * 5000)


def test_grey_and_transparent_images_become_rgb() -> None:
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4, 1)
    assert (rgb(grey) == grey).all()
    clear = np.zeros((16, 16, 4), np.uint8)
    assert len(np.unique(rgb(clear))) == 2  # checks
    opaque = np.concatenate([image(4, 4), np.full((4, 4, 1), 255, np.uint8)], axis=-1)
    assert (rgb(opaque) == opaque[..., :3]).all()


def test_small_images_grow_by_whole_pixels_and_large_ones_shrink() -> None:
    small = image(28, 28)
    assert scale_for(28, 28, 224) == 8
    assert (scaled(small, 8)[::8, ::8] == small).all()
    assert scaled(image(400, 800), scale_for(800, 400, 224)).shape == (112, 224, 3)
    assert scaled(image(1, 3000), scale_for(3000, 1, 224)).shape == (1, 224, 3)
    assert (resized(np.full((9, 9, 3), 7, np.uint8), 4, 2) == 7).all()


def test_a_box_is_drawn_around_what_it_holds() -> None:
    plain = np.zeros((20, 30, 3), np.uint8)
    drawn = framed(plain, (5, 4, 15, 12), (255, 0, 0))
    assert not drawn[4:12, 5:15].any()
    assert (drawn[3, 5:15] == (255, 0, 0)).all()
    assert (drawn[2, 5:15] == (255, 0, 0)).all()
    assert (drawn[1, 5:15] == 255).all()
    assert not drawn[0].any()
    assert framed(plain, (-50, -50, 500, 500), (255, 0, 0)).any() is np.False_


def test_a_file_of_a_picture_has_its_pixels() -> None:
    picture = image(9, 11)
    assert (np.asarray(Image.open(BytesIO(png_bytes(picture)))) == picture).all()


def pixels_of(line: str) -> list[list[int]]:
    """Return upper and lower colours of the characters of a line of a terminal."""
    colours: list[list[int]] = []
    now: list[int] = []
    for escape, block in re.findall(r"\x1b\[([0-9;]*)m|(▀)", line):
        if block:
            colours.append(now)
        elif escape != "0":
            numbers = list(map(int, escape.split(";")))
            now = numbers[2:5] + numbers[7:10]
    return colours


@pytest.mark.parametrize("height", [4, 5])
def test_half_blocks_have_every_pixel(height: int) -> None:
    picture = image(height, 7)
    lines = half_blocks(picture)
    assert all(line.endswith("\x1b[0m") for line in lines)
    found = np.array([pixels_of(line) for line in lines], dtype=np.uint8)
    upper, lower = found[..., :3], found[..., 3:]
    assert (upper == picture[::2]).all()
    assert (lower[: height // 2] == picture[1::2]).all()


def test_tiles_stand_beside_each_other_and_texts_cannot_leave_their_place() -> None:
    tiles = [Tile(image(4, 10, i), ("中国人民共和国", "\x1b[2Jx")) for i in range(3)]
    lines = terminal_rows(tiles, 24)
    texts = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in lines]
    assert texts[2] == "中国人民共  中国人民共"
    assert texts[3] == r"\x1b[2Jx    \x1b[2Jx"
    assert all("\x1b[2J" not in line for line in lines)
    assert sum("▀" in line for line in lines) == 4
