"""The captcha generator of the examples: its files, its table and what the images show."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from pathlib import Path
from random import Random

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageFile, UnidentifiedImageError

EXAMPLE = Path(__file__).parents[2] / "examples" / "captcha"
SCRIPT = EXAMPLE / "make_captchas.py"
sys.path.insert(0, str(EXAMPLE))

from breakage import Breakage, truncated  # noqa: E402
from captcha import BOX, CHARACTERS, HEIGHTS, WIDTHS, CaptchaPainter  # noqa: E402
from dataset import Options, image_path, make_plan  # noqa: E402
from glyphs import (  # noqa: E402
    COUNT,
    SIDE,
    class_characters,
    class_glyphs,
    glyph_number,
    load_glyphs,
)
from image_file import jpeg_bytes, png_bytes  # noqa: E402

Floats = npt.NDArray[np.float64]

# More than two tasks of 50, so that two workers really share the images.
IMAGES = 130
CLASSES = 50
PNG = 0.4
BROKEN = 0.1


def run(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def make(out: Path, *arguments: object) -> Path:
    result = run(out, "--images", IMAGES, "--png", PNG, *arguments)
    assert result.returncode == 0, result.stderr
    return out


def read_rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "labels.csv").open(encoding="utf-8", newline="") as table:
        return list(csv.DictReader(table))


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("sound"), "--workers", 2)


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("broken"), "--workers", 2, "--broken", BROKEN)


def test_all_glyphs_have_ink_and_gaps() -> None:
    glyphs = load_glyphs()
    assert glyphs.shape == (COUNT, SIDE, SIDE)
    assert set(np.unique(glyphs)) == {0, 255}
    filled = (glyphs > 0).sum(axis=(1, 2))
    assert filled.min() > 0
    assert filled.max() < SIDE * SIDE


def test_a_known_glyph_stands_upright() -> None:
    # 十: one horizontal stroke, one vertical stroke, longer below the crossing than above it.
    ink = load_glyphs()[glyph_number("十")] > 0
    rows, columns = ink.sum(axis=1), ink.sum(axis=0)
    assert rows.max() > SIDE * 0.7
    assert columns.max() > SIDE * 0.7
    assert int(rows.argmax()) < SIDE // 2
    assert ink.sum() == rows.max() + columns.max() - 1


def test_classes_are_spread_evenly() -> None:
    assert class_characters(1) == ["一"]
    assert class_characters(COUNT)[-1] == "\u9fa5"
    assert len(set(class_characters(COUNT))) == COUNT
    steps = np.diff(class_glyphs(CLASSES))
    assert set(steps.tolist()) <= {COUNT // CLASSES, COUNT // CLASSES + 1}


def test_one_and_two_workers_write_the_same_bytes(broken: Path, tmp_path: Path) -> None:
    alone = make(tmp_path / "alone", "--workers", 1, "--broken", BROKEN)
    assert contents(alone) == contents(broken)


def test_another_seed_writes_other_images(sound: Path, tmp_path: Path) -> None:
    other = make(tmp_path / "other", "--seed", 2)
    assert read_rows(other) != read_rows(sound)
    ours, theirs = contents(sound), contents(other)
    images = {name for name in ours.keys() & theirs.keys() if name.startswith("images/")}
    assert images
    assert not any(ours[name] == theirs[name] for name in images)


def test_table_lists_every_image_in_order(sound: Path) -> None:
    rows = read_rows(sound)
    assert list(rows[0]) == ["path", "y0", "y1", "y2", "y3"]
    assert [Path(row["path"]).stem for row in rows] == [f"{i:06d}" for i in range(IMAGES)]
    labels = np.array([[int(row[f"y{i}"]) for i in range(CHARACTERS)] for row in rows])
    assert set(np.unique(labels)) == set(range(CLASSES))
    listed = {row["path"] for row in rows}
    assert contents(sound).keys() == listed | {"labels.csv", "classes.txt"}
    characters = (sound / "classes.txt").read_text(encoding="utf-8").splitlines()
    assert characters == class_characters(CLASSES)


def test_a_thousand_files_per_folder() -> None:
    assert image_path(123, False) == "images/000/000123.jpg"
    assert image_path(999, True) == "images/000/000999.png"
    assert image_path(1000, True) == "images/001/001000.png"


def test_formats_modes_and_sizes(sound: Path) -> None:
    widths, heights, formats = set(), set(), []
    for row in read_rows(sound):
        path = sound / row["path"]
        with Image.open(path) as image:
            image.load()
            expected = ("PNG", "RGBA") if path.suffix == ".png" else ("JPEG", "RGB")
            assert (image.format, image.mode) == expected
            widths.add(image.width)
            heights.add(image.height)
            formats.append(image.format)
        assert 4_000 < path.stat().st_size < 250_000
    assert formats.count("PNG") == round(PNG * IMAGES)
    assert WIDTHS[0] <= min(widths) < max(widths) <= WIDTHS[1]
    assert HEIGHTS[0] <= min(heights) < max(heights) <= HEIGHTS[1]


def test_png_bytes_keep_every_pixel() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    picture = Image.fromarray(pixels)
    decoded = np.asarray(decode(png_bytes(picture)))
    assert np.array_equal(decoded[..., :3], pixels)
    assert (decoded[..., 3] == 255).all()


def test_the_box_shows_the_labels(sound: Path) -> None:
    """The nearest class by correlation is the label: right characters, places and order."""
    templates = shifted_templates(load_glyphs()[class_glyphs(CLASSES)])
    hits = total = 0
    for row in read_rows(sound):
        with Image.open(sound / row["path"]) as image:
            box = np.asarray(image.convert("RGB").crop(BOX), np.float64)
        for place in range(CHARACTERS):
            # The class with the highest correlation over all shifts. The sign is left
            # open because the ink may be lighter or darker than the ground.
            cell = normalised(ink_strength(quarter(box, place))[None])[0]
            scores = np.abs(templates @ cell).max(axis=0)
            hits += int(scores.argmax()) == int(row[f"y{place}"])
            total += 1
    assert hits / total > 0.97


def test_broken_files_are_exactly_as_many_as_asked_and_of_every_kind(broken: Path) -> None:
    wanted = round(BROKEN * IMAGES)
    plan = make_plan(Options(broken, IMAGES, CLASSES, PNG, BROKEN, seed=1))
    assert (plan.breakage != Breakage.NONE).sum() == wanted
    assert set(plan.breakage.tolist()) == set(Breakage)
    found = [fault(broken / row["path"]) for row in read_rows(broken)]
    assert len(found) - found.count(Breakage.NONE) == wanted
    assert found == plan.breakage.tolist()


def test_broken_files_leave_the_others_alone(sound: Path, broken: Path) -> None:
    assert read_rows(broken) == read_rows(sound)
    rows = read_rows(broken)
    for row in rows:
        if fault(broken / row["path"]) is Breakage.NONE:
            assert (broken / row["path"]).read_bytes() == (sound / row["path"]).read_bytes()


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_truncated_files_end_above_the_bottom_of_the_box(
    suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    painter = CaptchaPainter()
    for seed in range(10):
        picture = painter.paint(Random(seed), [0, 1, 2, 3])
        whole = png_bytes(picture) if suffix == "png" else jpeg_bytes(picture, 85 + seed)
        file = truncated(UpperBound(), whole)
        with pytest.raises(OSError, match="truncated"):
            decode(file)
        # Pillow can be told to show what there is; rows that it did not reach are all alike.
        with monkeypatch.context() as patch:
            patch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
            rows = np.asarray(decode(file).convert("RGB"))
        assert rows.shape[:2] == (picture.height, picture.width)
        unreached = rows[BOX[3] - 10 :]
        assert (unreached == unreached[-1, -1]).all()


@pytest.mark.parametrize("classes", ["0", str(COUNT + 1), "many"])
def test_class_count_out_of_range_is_refused(classes: str, tmp_path: Path) -> None:
    result = run(tmp_path / "out", "--classes", classes)
    assert result.returncode == 2
    assert "--classes" in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_used_folder_is_refused(sound: Path) -> None:
    before = contents(sound)
    result = run(sound, "--images", 1)
    assert result.returncode == 2
    assert "not an empty folder" in result.stderr
    assert contents(sound) == before


def test_runs_from_any_folder_into_a_relative_path(tmp_path: Path) -> None:
    result = run("new/set", "--images", 3, "--classes", COUNT, "--workers", 2, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert len(read_rows(tmp_path / "new" / "set")) == 3


class UpperBound(Random):
    """A generator that always picks the upper bound."""

    def uniform(self, a: float, b: float) -> float:
        return b


def decode(file: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(file))
    image.load()
    return image


def fault(path: Path) -> Breakage:
    """Find out, by looking at the file alone, how it is broken."""
    if not path.exists():
        return Breakage.MISSING
    file = path.read_bytes()
    if not file:
        return Breakage.EMPTY
    try:
        width, height = decode(file).size
    except UnidentifiedImageError:
        return Breakage.TEXT
    except OSError:
        return Breakage.TRUNCATED
    return Breakage.TOO_SMALL if width < BOX[2] or height < BOX[3] else Breakage.NONE


def quarter(box: Floats, place: int) -> Floats:
    """Cut one character's quarter, 28 pixels wide, from a box of shape (30, 114, 3)."""
    left = round(place * box.shape[1] / CHARACTERS)
    return box[:, left : left + 28]


def ink_strength(cell: Floats) -> Floats:
    """Return how far each pixel lies from the median colour, which is the ground's."""
    ground = np.median(cell, axis=(0, 1))
    return np.asarray(np.linalg.norm(cell - ground, axis=2), np.float64)


def shifted_templates(glyphs: npt.NDArray[np.uint8]) -> Floats:
    """Enlarge the glyphs and shift them about; shape (shifts, glyphs, 30 * 28)."""
    side = round(SIDE * 1.5)
    large = np.zeros((len(glyphs), 30 + 8, 28 + 8))
    for i, glyph in enumerate(glyphs):
        top, left = (30 + 8 - side) // 2, (28 + 8 - side) // 2
        large[i, top : top + side, left : left + side] = np.asarray(
            Image.fromarray(glyph).resize((side, side), Image.Resampling.BILINEAR)
        )
    shifts = [(y, x) for y in range(1, 8) for x in range(1, 8)]
    return np.stack([normalised(large[:, y : y + 30, x : x + 28]) for y, x in shifts])


def normalised(cells: Floats) -> Floats:
    """Return the cells flat with mean 0 and length 1, so that a product is a correlation."""
    flat = cells.reshape(len(cells), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    return np.asarray(flat / np.linalg.norm(flat, axis=1, keepdims=True), np.float64)
