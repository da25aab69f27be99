"""Colours that Pillow does not say: transparent parts, and values of more than 8 bits."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from converter.command.cli import main
from converter.imaging.transformer import ImageTransformer
from converter.options import ConvertOptions
from converter.run import convert
from shardio.format.transform import Transform
from shardio.imaging.bad_image import BadImageError
from tests.converter.inputs import encoded, picture, run, write_csv

WHITE = (255, 255, 255)


def transparent(kind: str, width: int, height: int, seed: int) -> bytes:
    if kind == "palette":
        alphas = bytes(np.random.default_rng(seed).integers(0, 256, 256, dtype=np.uint8))
        return encoded(picture("P", width, height, seed), "PNG", transparency=alphas)
    if kind == "colour":
        image = picture("RGB", width, height, seed)
        return encoded(image, "PNG", transparency=image.getpixel((0, 0)))
    if kind == "grey":
        image = picture("L", width, height, seed)
        return encoded(image, "PNG", transparency=image.getpixel((0, 0)))
    return encoded(picture(kind, width, height, seed), "PNG")


KINDS = ["RGBA", "LA", "palette", "colour", "grey"]


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=30, deadline=None)
@given(
    st.tuples(*[st.integers(0, 255)] * 3),
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(0, 99),
    st.booleans(),
)
def test_on_a_background_pixels_are_those_that_a_viewer_shows(
    kind: str, colour: tuple[int, int, int], width: int, height: int, seed: int, whole: bool
) -> None:
    data = transparent(kind, width, height, seed)
    image = Image.open(io.BytesIO(data)).convert("RGBA")
    shown = Image.alpha_composite(Image.new("RGBA", image.size, (*colour, 255)), image)
    box = None if whole else (width // 3, height // 3, width, height)
    expected = shown.convert("RGB").crop(box or (0, 0, width, height)).resize((9, 7))
    transformer = ImageTransformer(Transform(box, (9, 7), background=colour))
    assert transformer.pixels(data) == expected.tobytes()
    assert not transformer.counts.transparent


@pytest.mark.parametrize("kind", KINDS)
def test_images_with_transparent_parts_in_the_box_are_counted(kind: str) -> None:
    transformer = ImageTransformer(Transform(None, (9, 7)))
    transformer.pixels(transparent(kind, 30, 20, 1))
    assert transformer.counts.transparent == 1


@pytest.mark.parametrize("box", [(0, 0, 10, 20), (10, 0, 40, 30), (-5, -5, 10, 25), (9, 0, 10, 20)])
def test_transparent_parts_beside_the_box_are_not_counted(box: tuple[int, int, int, int]) -> None:
    image = Image.new("RGBA", (40, 30), (1, 2, 3, 255))
    image.putpixel((9, 19), (1, 2, 3, 254))
    transformer = ImageTransformer(Transform(box, (9, 7), pad=True))
    transformer.pixels(encoded(image, "PNG"))
    assert transformer.counts.transparent == (box[0] < 10)
    opaque = ImageTransformer(Transform((20, 5, 90, 90), (9, 7), pad=True))
    opaque.pixels(encoded(image, "PNG"))
    assert not opaque.counts.transparent


@pytest.mark.parametrize("name", ["TIFF", "RGB PNG", "GIF"])
def test_opaque_images_are_not_counted(name: str) -> None:
    mode, kind = {"TIFF": ("RGBA", "TIFF"), "RGB PNG": ("RGB", "PNG"), "GIF": ("P", "GIF")}[name]
    image = picture(mode, 30, 20)
    if mode == "RGBA":
        image.putalpha(255)
    transformer = ImageTransformer(Transform(None, (9, 7)))
    transformer.pixels(encoded(image, kind))
    assert not transformer.counts.transparent


@pytest.mark.parametrize(("mode", "transparency"), [("I;16", 7), ("1", 1)])
def test_a_transparent_colour_of_other_than_8_bits_is_not_laid_on_a_background(
    mode: str, transparency: int
) -> None:
    data = encoded(picture(mode, 30, 20), "PNG", transparency=transparency)
    assert ImageTransformer(Transform(None, (9, 7))).pixels(data)
    with pytest.raises(BadImageError, match="8 bits"):
        ImageTransformer(Transform(None, (9, 7), background=WHITE)).pixels(data)


KINDS_OF_VALUES = {
    "int32": (np.int32, -(2**31), 2**31 - 1),
    "uint32": (np.uint32, 0, 2**32 - 1),
    "float32": (np.float32, -1e6, 1e6),
}


def tiff_of(values: NDArray[Any]) -> bytes:
    """Return a TIFF file of one strip of 32-bit values."""
    height, width = values.shape
    kind = {"i": 2, "u": 1, "f": 3}[values.dtype.kind]
    entries = [
        (256, width), (257, height), (258, 32), (259, 1), (262, 1), (273, 8), (277, 1),
        (278, height), (279, values.nbytes), (339, kind),
    ]  # fmt: skip
    directory = len(entries).to_bytes(2, "little") + b"".join(
        tag.to_bytes(2, "little") + b"\4\0\1\0\0\0" + value.to_bytes(4, "little")
        for tag, value in entries
    )
    at = (8 + values.nbytes).to_bytes(4, "little")
    return b"II*\0" + at + values.tobytes() + directory + bytes(4)


@pytest.mark.parametrize("kind", KINDS_OF_VALUES)
def test_values_of_32_bits_are_refused_without_a_range(kind: str) -> None:
    dtype, _, _ = KINDS_OF_VALUES[kind]
    for value in (0, 200, 60_000, 70_000):
        data = tiff_of(np.full((8, 16), value, dtype))
        with pytest.raises(BadImageError, match="--range LOW,HIGH"):
            ImageTransformer(Transform(None, (16, 8))).pixels(data)


@pytest.mark.parametrize("kind", KINDS_OF_VALUES)
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_range_says_which_values_are_black_and_white(kind: str, data: st.DataObject) -> None:
    dtype, least, most = KINDS_OF_VALUES[kind]
    numbers = st.integers(int(least), int(most))
    low, high = sorted(data.draw(st.lists(numbers, min_size=2, max_size=2, unique=True)))
    values = np.array(data.draw(st.lists(numbers, min_size=6, max_size=6)), dtype).reshape(2, 3)
    transform = Transform(None, (3, 2), "none", value_range=(low, high))
    packed = ImageTransformer(transform).pixels(tiff_of(values))
    found = np.frombuffer(packed, np.uint8).reshape(2, 3, 3)
    exact = np.clip((values.astype(np.float64) - low) / (high - low) * 255, 0, 255)
    assert np.array_equal(found, np.repeat(np.rint(exact)[..., None], 3, axis=2))


@pytest.mark.parametrize("mode", ["I;16", "L", "1"])
def test_where_zero_is_white_nothing_comes_out_inverted(mode: str) -> None:
    """Pillow inverts samples of 8 bits and less, as every viewer does, and no others."""
    plain = encoded(picture(mode, 30, 20), "TIFF")
    entry = bytes.fromhex("060103000100000001000000")  # the tag 262, BlackIsZero
    data = plain.replace(entry, entry[:8] + bytes(4))
    assert data != plain
    transformer = ImageTransformer(Transform(None, (30, 20)))
    if mode == "I;16":
        with pytest.raises(BadImageError, match="of which 0 is white are not supported"):
            transformer.pixels(data)
        return
    inverted = np.frombuffer(transformer.pixels(data), np.uint8)
    assert np.array_equal(inverted, 255 - np.frombuffer(transformer.pixels(plain), np.uint8))


def test_a_value_that_is_no_number_is_refused() -> None:
    data = tiff_of(np.array([[0, np.nan]], np.float32))
    with pytest.raises(BadImageError, match="no numbers"):
        ImageTransformer(Transform(None, (2, 1), value_range=(0, 1))).pixels(data)


def test_16_bit_values_are_not_touched_by_a_range() -> None:
    data = encoded(picture("I;16", 30, 20), "TIFF")
    plain = ImageTransformer(Transform(None, (9, 7))).pixels(data)
    assert ImageTransformer(Transform(None, (9, 7), value_range=(0, 9))).pixels(data) == plain


def mixed(folder: Path) -> Path:
    """A table of 4 black images, 3 with transparent parts, and 13 others."""
    for row in range(20):
        image = picture("RGBA" if row in (4, 5, 6) else "RGB", 32, 16, row)
        (Image.new("RGB", (32, 16)) if row < 4 else image).save(folder / f"{row}.png")
    return write_csv(folder / "t.csv", ["path", "y0"], [[f"{row}.png", 0] for row in range(20)])


def test_what_is_done_and_what_came_of_it_stands_in_the_summary(tmp_path: Path) -> None:
    table = mixed(tmp_path)
    options = ["--crop", "0,0,20,16", "--size", "8x4"]
    line = "images    crop 0,0,20,16 of 32x16 -> resize 8x4, bicubic"
    planned = run(table, tmp_path / "out", *options, "--dry-run")
    assert line in planned.stdout.splitlines()
    made = run(table, tmp_path / "out", *options)
    assert made.returncode == 0, made.stderr
    assert line in made.stdout.splitlines()
    assert "colours   4 of 20 records have one colour" in made.stdout.splitlines()
    assert "4 of 20 records (20.0%) have one colour" in made.stderr
    assert "3 of 20 records (15.0%) are of images with transparent parts" in made.stderr
    assert "--background" in made.stderr

    laid = run(table, tmp_path / "laid", *options, "--background", "255,255,255")
    assert "--background" not in laid.stderr
    manifest = json.loads((tmp_path / "laid/dataset.json").read_bytes())
    assert manifest["transform"]["background"] == [255, 255, 255]


def test_the_counts_are_those_of_all_runs(tmp_path: Path) -> None:
    table = mixed(tmp_path)
    (tmp_path / "17.png").rename(tmp_path / "later.png")
    out, options = (
        str(tmp_path / "out"),
        ConvertOptions(transform=Transform(None, (8, 4)), shards=5),
    )
    # One worker makes the shards in their order, and the bad row is not of the first ones.
    line = ["--crop", "none", "--size", "8x4", "--shards", "5", "--workers", "1"]
    assert run(table, out, *line).returncode == 1
    assert list((tmp_path / "out").glob("*.tfrecord"))
    (tmp_path / "later.png").rename(tmp_path / "17.png")
    summary = convert(str(table), out, options, engine="inline", max_rejects="1")
    assert (summary.image_totals.one_colour, summary.image_totals.transparent) == (4, 3)
    assert summary.shards_kept
    assert summary.image_totals.counted == summary.records


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(("--background", text) for text in ("white", "1,2", "1,2,256", "1,2,3,4")),
        *(("--range", text) for text in ("1", "2,1", "1,1", "0,inf", "nan,1", "a,b")),
    ],
)
def test_an_option_that_is_no_colour_or_range_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, value: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["t.csv", str(tmp_path / "out"), option, value])
    assert ended.value.code == 2
    assert value in capsys.readouterr().err
