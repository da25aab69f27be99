"""Images that lie elsewhere than the table says: found where there is one, else said what helps."""

from __future__ import annotations

import os
import unicodedata
import zipfile
from pathlib import Path

import fsspec
import numpy as np
import pytest
from PIL import Image

from converter.command.cli import main
from converter.sources.image_files import ImageFiles
from converter.sources.image_finder import ImageFinder
from converter.table.read_table import read_table
from converter.table.reading import Reading
from reader import open_shards
from shardio.errors import MissingFileError, OptionError, TableError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def put(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(name.encode())


def look(
    table: str, *paths: str, root: str | None = None, extension: str | None = None
) -> list[str]:
    """Return what is read for each path of a table: the file's name, or why there is none."""
    Path(table).parent.mkdir(parents=True, exist_ok=True)
    Path(table).write_text("".join(f"{path}\n" for path in ("path", *paths)))
    found = read_table(
        table, labels=(), classes=None, root=root, reading=Reading(extension=extension)
    )
    locations = [found.location(path) for path in found.paths(np.arange(len(found)))]
    said = []
    with ImageFiles(locations, finder=ImageFinder.of(found)) as files:
        for location, read in zip(locations, files, strict=True):
            try:
                said.append(os.path.normpath(read().decode()))
            except MissingFileError as error:
                said.append(str(error).removeprefix(f"{location}: "))
    return said


NFC, NFD = (unicodedata.normalize(form, "é.png") for form in ("NFC", "NFD"))


@pytest.mark.parametrize(
    ("there", "path"),
    [
        ("data/i/0.png", r"i\0.png"),
        ("data/i/0.png", r".\i\0.png"),
        ("data/i/0.png", "i/0.png "),
        ("data/i/0.png", " i /0.png"),
        (f"data/{NFC}", NFD),
        (f"data/{NFD}", NFC),
        ("data/i/0.png", "data/i/0.png"),
        ("data/i/0.png", r"data\i\0"),
        ("data/i/0.JPG", "i/0"),
        ("data/i/v1.5.png", "i/v1.5"),
    ],
)
def test_an_image_is_found_by_looking(folder: Path, there: str, path: str) -> None:
    put(there, "data/other.png")
    assert look("data/t.tsv", path) == [there]
    # A file at the very place is the one that is meant.
    if "\\" in path or path == NFD:
        put(f"data/{path}")
        assert look("data/t.tsv", path) == [f"data/{path}"]


def test_an_image_that_may_be_several_is_none(folder: Path) -> None:
    put("data/0.png", "data/0.jpg", "data/1.png", "data/data/1.png", "data/2.png")
    assert look("data/t.csv", "0", "data/1.png", "2") == [
        "no such file; there are several of other endings (.jpg, .png), and --extension says which "
        "is meant",
        "data/data/1.png",
        "data/2.png",
    ]
    assert look("data/t.csv", "0", "1.png", extension=".png") == ["data/0.png", "data/1.png"]
    with pytest.raises(OptionError, match="extension must be one of images"):
        Reading(extension=".csv")
    # Only what the root ends with is a folder named twice.
    put("data/a/3.png")
    assert look("data/t.csv", "a/a/3.png") == ["no such file"]


def test_a_missing_image_says_what_would_have_worked(folder: Path) -> None:
    put("images/0.png", "data/1.PNG", "here/2.png")
    assert look("data/labels/t.csv", "images/0.png", "1.png", "3.png") == [
        "no such file; --root . finds it",
        "no such file",
        "no such file",
    ]
    assert look("data/t.csv", "1.png") == ["no such file; there is one with the ending .PNG"]
    assert look("here/a/b/t.csv", "2.png") == ["no such file; --root here finds it"]


def test_the_root_may_be_above_the_table(folder: Path) -> None:
    put("i/0.png", "labels/1.png", "secret.png")
    assert look("labels/t.csv", "../i/0.png", "i/0.png", "1.png", root=".") == [
        "i/0.png",
        "i/0.png",
        "labels/1.png",
    ]
    for root, path in ((".", "../../0.png"), (None, "../i/0.png"), ("i", "../i/0.png")):
        with pytest.raises(TableError, match="leaves the root folder; --root names one above it"):
            look("labels/t.csv", path, root=root)
    assert look("labels/t.csv", r"..\..\secret.png", root="labels") == ["no such file"]


def test_spellings_of_one_image_are_one_path(folder: Path) -> None:
    Path("labels").mkdir()
    for first, second in (
        ("i/0.png", r"i\0.png"),
        (NFC, NFD),
        ("0.png", "0.png "),
        ("i/0", "../i/0"),
    ):
        table = Path("labels/t.tsv")
        table.write_text(f"path\tsplit\n{first}\ttrain\n{second}\tval\n")
        with pytest.raises(TableError, match="is in split val, and in split train in row 0"):
            read_table(str(table), labels=(), classes=None, root=".")


def test_members_of_archives_and_urls_are_found_too(folder: Path) -> None:
    with zipfile.ZipFile("a.zip", "w") as archive:
        archive.writestr(f"i/{NFC}", "i/member")
    assert look("t.csv", rf"a.zip::i\{NFD}", "a.zip::none.png") == ["i/member", "no such file"]
    files = fsspec.filesystem("memory")
    files.pipe_file("memory://finder/set/i/0.png", b"set/i/0.png")
    root = "memory://finder/set"
    assert look("t.csv", r"set\i\0.png", "i/0.png ", "none.png", root=root) == [
        "set/i/0.png",
        "set/i/0.png",
        "no such file",
    ]


def test_a_conversion_finds_its_images_again(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("i").mkdir()
    for number in range(3):
        Image.new("RGB", (16, 8), (number,) * 3).save(f"i/{number}.png")
    Path("t.csv").write_text("id,y0\ni\\0,0\ni\\1,1\ni\\2,2\n")
    arguments = ["t.csv", "out", "--crop", "none", "--size", "16x8", "--path-column", "id"]
    assert main(arguments) == 0
    ((x, y, row),) = open_shards("out").batches(3, shuffle="none", dtype="uint8", rows=True)
    assert x.max(axis=(1, 2, 3)).tolist() == y.tolist() == row.tolist()
    assert main(arguments) == 0
    assert "compared and are the same" in capsys.readouterr().out
    Path("t.csv").write_text("id,y0\ni/0,0\ni/9,1\n")
    assert main([*arguments, "--overwrite", "--engine", "inline"]) == 1
    assert "Relative paths were looked for below . (--root" in capsys.readouterr().err
