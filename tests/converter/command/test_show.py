"""`shardio-convert show`: images before and after, and tables that cannot be shown."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from converter.command.cli import main
from converter.imaging.before_after import Previewer
from converter.options import ConvertOptions
from converter.report.preview import preview
from shardio.format.transform import Transform
from tests.converter.inputs import BOXED, BOXED_OPTIONS, picture, write_csv, write_images


def previewer(transform: Transform) -> Previewer:
    return Previewer(transform, strict=False, max_pixels=10**8, truncated=False)


def png(image: Image.Image) -> bytes:
    data = BytesIO()
    image.save(data, "PNG")
    return data.getvalue()


def test_before_is_the_image_and_after_is_what_a_record_holds() -> None:
    image = picture("RGB", 320, 90)
    found = previewer(BOXED).look(png(image), None, 320)
    assert found.before is not None
    assert (found.before == np.asarray(image)).all()
    assert found.box == (186, 0, 300, 30)
    assert found.after is not None
    expected = np.asarray(image.crop((186, 0, 300, 30)).resize((128, 32)))
    assert (found.after == expected).all()


@pytest.mark.parametrize("mode", ["RGBA", "L", "LA", "P", "1", "CMYK", "I;16"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_images_of_any_colours_are_shown_in_rgb(mode: str, channels: int) -> None:
    transform = Transform((10, 10, 40, 40), (20, 20), channels=channels)
    image = picture(mode, 64, 48)
    data = BytesIO()
    image.save(data, "TIFF" if mode == "CMYK" else "PNG")
    found = previewer(transform).look(data.getvalue(), None, 64)
    assert found.reason == ""
    assert found.before is not None
    assert found.before.shape == (48, 64, 3)
    assert found.after is not None
    assert found.after.shape == (20, 20, channels)


def test_the_box_lies_where_it_is_in_a_reduced_image() -> None:
    found = previewer(BOXED).look(png(picture("RGB", 640, 180)), None, 160)
    assert found.before is not None
    assert found.before.shape == (45, 160, 3)
    assert found.box == (46, 0, 75, 8)


def test_a_centre_is_a_box() -> None:
    transform = Transform(size=(30, 20), shorter=40)
    found = previewer(transform).look(png(picture("RGB", 200, 80)), None, 200)
    assert found.box == (70, 20, 130, 60)


def test_a_box_outside_the_image_is_drawn_and_said() -> None:
    found = previewer(BOXED).look(png(picture("RGB", 200, 90)), None, 200)
    assert found.after is None
    assert "reaches outside" in found.reason
    assert found.before is not None
    assert found.box == (186, 0, 300, 30)


def test_a_broken_image_has_a_reason_only() -> None:
    found = previewer(BOXED).look(b"<html>", None, 200)
    assert (found.before, found.box, found.after) == (None, None, None)
    assert "HTML" in found.reason


def table(tmp_path: Path, *, blank: bool = False) -> Path:
    names = write_images(tmp_path / "images", 5, (320, 60))
    if blank:
        for name in names:
            Image.new("RGB", (320, 60), (9, 9, 9)).save(tmp_path / "images" / name)
    rows = [[f"images/{name}", "中国人民共"[i]] for i, name in enumerate(names)]
    rows.append(["images/\x1b[31mnone.png", "国"])
    return write_csv(tmp_path / "t.csv", ["path", "y0"], rows)


def test_a_preview_has_a_tile_for_each_of_the_first_rows(tmp_path: Path) -> None:
    options = ConvertOptions(transform=BOXED, text_labels=True)
    found = preview([str(table(tmp_path))], options, count=4, side=128)
    assert len(found.tiles) == 4
    assert [tile.texts[0] for tile in found.tiles] == list("中国人民")
    assert found.tiles[2].texts[-1].startswith("row 2 images/")
    assert "first 4 images of 6" in found.title[0]
    assert "crop 186,0,300,30" in found.title[1]


def test_a_sheet_is_written_and_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(table(tmp_path)), *BOXED_OPTIONS, "--text-labels"]
    before = set(tmp_path.rglob("*"))
    assert main(["show", *words, "-o", str(tmp_path / "sheet.png")]) == 0
    assert set(tmp_path.rglob("*")) - before == {tmp_path / "sheet.png"}
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 400
    out = capsys.readouterr().out
    assert "1 of them would be rejected" in out
    assert "\x1b" not in out


def test_a_box_beside_everything_is_seen_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(table(tmp_path, blank=True)), *BOXED_OPTIONS, "--text-labels"]
    assert main(["show", *words, "-o", str(tmp_path / "sheet.png")]) == 0
    assert "5 of them have one colour in all pixels" in capsys.readouterr().out
    assert main([*words[:1], str(tmp_path / "out"), *words[1:], "--max-rejects", "50%"]) == 0
    warned = capsys.readouterr().err
    assert "5 of 5 records (100.0%) have one colour in all pixels" in warned
    assert "shardio-convert show" in warned


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["t.csv"], "-o sheet.png"),
        (["none.csv", "-o", "a.png"], "none.csv"),
        (["t.csv", "--n", "0", "-o", "a.png"], "at least 1"),
        (["t.csv", "--crop", "1,2,3", "-o", "a.png"], "crop box"),
        (["t.csv", "--overwrite", "-o", "a.png"], "no option --overwrite"),
        (["t.csv", "--size", "8x8", "--text-labels", "-o", "t.csv/a.png"], "t.csv"),
    ],
)
def test_what_cannot_be_shown_is_said(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    said: str,
) -> None:
    table(tmp_path)
    monkeypatch.chdir(tmp_path)
    try:
        code = main(["show", *words])
    except SystemExit as end:
        code = int(str(end.code))
    assert code in (1, 2)
    assert said in capsys.readouterr().err
    assert not (tmp_path / "a.png").exists()


def test_images_of_several_sizes_get_commands_that_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, width in (("a.png", 20), ("b.png", 30)):
        picture("RGB", width, 20).save(tmp_path / name)
    write_csv(tmp_path / "t.csv", ["path", "y0"], [["a.png", 0], ["b.png", 1]])
    assert main(["show", "t.csv", "-o", "a sheet.png"]) == 1
    lines = capsys.readouterr().err.splitlines()[1:]
    assert lines[0].strip().startswith("shardio-convert show t.csv -o 'a sheet.png' --size")
