"""Folders of images as tables: every image, in the order of code points, with its labels."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from converter.command.cli import main
from converter.table.paths.sorted_texts import SortedTexts
from converter.table.read_table import read_table
from converter.table.reading import Reading, parse_split_names
from converter.table.scratch import Scratch
from converter.table.table import Table
from reader import open_shards
from shardio.errors import OptionError, TableError


def make(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def read(folder: Path, labels: tuple[str, ...] | None = None, **reading: Any) -> Table:
    return read_table(
        str(folder),
        labels=labels,
        classes=None,
        text_labels=True,
        reading=Reading(**reading),
    )


def rows(table: Table) -> list[tuple[str, ...]]:
    words = table.vocabulary or ()
    paths = table.paths(np.arange(len(table)))
    texts = [[words[label] for label in row] for row in table.labels.tolist()]
    return [(path, *row) for path, row in zip(paths, texts, strict=True)]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=6)), st.integers(1, 9))
def test_any_texts_are_sorted_by_code_points(texts: list[str], run: int) -> None:
    with Scratch() as scratch:
        made = SortedTexts(scratch, run)
        for text in texts:
            made.append(text)
        found = made.finish()
        assert found.take(np.arange(len(found))) == sorted(texts)


def test_each_image_is_a_row_with_its_folder_and_stem(tmp_path: Path) -> None:
    names = ["b/x.v2.PNG", "B/y.jpeg", "a/ä.webp", "a/z.png", "a.png", "人/字.png", "𠀀.gif"]
    make(tmp_path, *names, "a/notes.txt", ".hidden/x.png", "b/.x.png", "labels.csv")
    (tmp_path / "loop").symlink_to(tmp_path)
    found = read(tmp_path, ("stem",))
    paths = sorted(names)
    assert rows(found) == [(path, Path(path).stem) for path in paths]
    assert found.sha256 == hashlib.sha256("".join(f"{p}\0" for p in paths).encode()).hexdigest()
    (note,) = found.notes
    assert "left out: " in note
    assert "1 x .csv" in note
    assert "1 x .txt" in note
    assert found.location("a.png") == f"{tmp_path}/a.png"
    with pytest.raises(TableError) as caught:
        read(tmp_path, ("folder",))
    # What is right below the folder has no class.
    assert "row 1: folder is missing" in str(caught.value)
    with pytest.raises(TableError, match=r"it has path, folder, stem\. --labels folder"):
        read(tmp_path)


def test_folders_of_splits_are_splits(tmp_path: Path) -> None:
    images = ("train/cat/0.png", "train/dog/0.png", "val/cat/1.png", "test/dog/9.png")
    table = read(make(tmp_path, *images), ("folder",))
    assert rows(table) == [(path, path.split("/")[1]) for path in sorted(images)]
    assert [table.splits[code] for code in table.split] == ["test", "train", "train", "val"]
    table = read(tmp_path, ("folder",), split_names=(("val", "train"), ("test", "held_out")))
    assert table.splits == ("held_out", "train")
    assert read(tmp_path, ("folder",), split_column="").splits == ("train",)
    make(tmp_path, "more/cat/0.png")
    with pytest.raises(TableError, match="test, train, val are splits, but beside them is more"):
        read(tmp_path, ("folder",))
    assert len(read(tmp_path, ("folder",), split_column="")) == 5
    # A class of vehicles.
    vehicles = make(tmp_path / "v", "car/0.png", "bus/0.png", "train/0.png")
    table = read(vehicles, ("folder",))
    assert (table.splits, table.vocabulary) == (("train",), ("bus", "car", "train"))


@pytest.mark.parametrize("splits", [("", ""), ("train/", "val/")])
def test_folders_that_are_called_alike_are_noted(tmp_path: Path, splits: tuple[str, str]) -> None:
    first, second = splits
    names = [f"{first}a/x/1.png", f"{second}b/x/1.png", f"{second}b/y/1.png", f"{first}b/y/2.png"]
    folder = make(tmp_path / "t", *names)
    noted = [note for note in read(folder, ("folder",)).notes if "one value" in note]
    assert len(noted) == 1
    assert noted[0].startswith("a/x and b/x have one value in the column folder, x; ")
    pattern = noted[0].split("'")[1]
    texts = read(folder, ("text",), name_pattern=pattern, split_column=None)
    assert texts.vocabulary == ("a/x", "b/x", "b/y")
    assert not [note for note in read(folder, ("stem",)).notes if "one value" in note]


def test_columns_come_from_the_names_of_images(tmp_path: Path) -> None:
    make(tmp_path, "a/东中_0.png", "b/内南_1.png")
    table = read(tmp_path, ("text",), name_pattern=r"(?P<text>[^_]+)_\d+")
    assert rows(table) == [("a/东中_0.png", "东中"), ("b/内南_1.png", "内南")]
    table = read(tmp_path, ("text",), name_pattern=r"(?P<split>\w)/(?P<text>[^_]+)_\d+")
    assert table.splits == ("a", "b")
    make(tmp_path, "c/odd.png")
    with pytest.raises(TableError, match=r"row 2: the name 'odd' does not fit --name-pattern"):
        read(tmp_path, ("text",), name_pattern=r"(?P<text>[^_]+)_\d+")
    with pytest.raises(TableError, match="has a column stem already"):
        read(tmp_path, (), name_pattern=r"(?P<stem>.)")
    for wrong in ("(", "no group"):
        with pytest.raises(OptionError, match="the pattern"):
            Reading(name_pattern=wrong)
    table_file = tmp_path / "t.txt"
    table_file.write_text("tar/x.tar::7_东.png\ns3://b/8_西.png\n")
    table = read(table_file, name_pattern=r"(?P<y0>\d)_(?P<y1>.)")
    assert rows(table) == [("tar/x.tar::7_东.png", "7", "东"), ("s3://b/8_西.png", "8", "西")]


def test_a_folder_that_is_no_table_or_two_is_refused(tmp_path: Path) -> None:
    make(tmp_path / "both", "0.png", "t.parquet")
    make(tmp_path / "neither", "0.txt", "t.csv")
    for name, words in (
        ("both", r"two ways: as 1 image, such as 0\.png, or as 1 table, such as t\.parquet"),
        ("neither", r"neither images nor .* name the table itself, such as .*(t\.csv|0\.txt)"),
    ):
        with pytest.raises(TableError, match=words):
            read(tmp_path / name)
    make(tmp_path / "odd")
    (tmp_path / "odd").mkdir()
    with open(os.fsencode(tmp_path / "odd") + b"/\xd6\xd0.png", "wb"):
        pass
    with pytest.raises(TableError, match="is not UTF-8; rename it"):
        read(tmp_path / "odd", ())


def test_columns_may_be_called_anything(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("filename,path,fold,y0\na.png,x,0,5\nb.png,x, 训练 ,6\n")
    found = read(
        table,
        ("y0",),
        path_column="filename",
        split_column="fold",
        split_names=parse_split_names("0=train, 训练=train"),
    )
    assert (rows(found), found.splits) == ([("a.png", "5"), ("b.png", "6")], ("train",))
    with pytest.raises(TableError, match=r"row 1: split is '训练', .*\(--split-names 训练=train"):
        read(table, ("y0",), split_column="fold", split_names=(("0", "train"),))
    with pytest.raises(TableError, match="has no column folds"):
        read(table, ("y0",), split_column="folds")
    table.write_text("filename,y0\na.png,5\n")
    with pytest.raises(TableError, match=r"has no column path; .*; --path-column filename takes"):
        read(table)
    for text in ("0", "0=", "=x", "0=a,0=b"):
        with pytest.raises(OptionError, match="names of splits"):
            parse_split_names(text)
    with pytest.raises(OptionError, match="cannot be called 'a b'"):
        Reading(split_names=(("0", "a b"),))


def test_an_image_folder_becomes_shards(tmp_path: Path) -> None:
    for number, name in enumerate(("train/cat/0.png", "train/dog/1.png", "val/dog/2.png")):
        make(tmp_path / "i", name)
        Image.new("RGB", (16, 8), (number * 10,) * 3).save(tmp_path / "i" / name)
    arguments = [str(tmp_path / "i"), str(tmp_path / "out"), "--crop", "none", "--size", "16x8"]
    arguments += ["--engine", "inline", "--labels", "folder", "--text-labels"]
    assert main(arguments) == 0
    shards = open_shards(tmp_path / "out", split="val")
    ((x, y),) = shards.batches(1, shuffle="none", dtype="uint8")
    words = shards.labels[0].vocabulary
    assert words == ("cat", "dog")
    assert (int(x.max()), words[int(y[0])]) == (20, "dog")
    # Another reading of the same folder is another plan.
    assert main([*arguments, "--split-column", ""]) == 1
