"""What a message says when a table was meant in another way."""

from __future__ import annotations

import json
import os
import re
import unicodedata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from converter import ConvertOptions, convert
from converter.table.cells.crop_boxes import CropColumns
from converter.table.cells.other_heads import OtherHeads
from converter.table.cells.splits import SplitShares
from converter.table.cells.table_notes import unseen_characters
from converter.table.cells.vocabulary import read_vocabulary
from converter.table.read_table import read_table
from converter.table.reading import Reading
from converter.table.table import Table
from shardio.errors import OptionError, TableError
from shardio.format.transform import Transform
from tests.converter.inputs import write_csv, write_images


def read(path: Path, **how: Any) -> Table:
    return read_table(str(path), **{"labels": None, "classes": None, **how})


def test_paths_and_labels_are_hinted_at_together(tmp_path: Path) -> None:
    table = write_csv(tmp_path / "t.csv", ["filename", "text"], [["a.png", "ab"]])
    with pytest.raises(TableError, match=r"--path-column filename .* --labels .* --characters"):
        read(table)
    table = write_csv(tmp_path / "t.csv", ["filename", "y0"], [["a.png", "1"]])
    with pytest.raises(TableError, match=r"--path-column filename takes that one$"):
        read(table)


@pytest.mark.parametrize(
    ("columns", "hint"),
    [
        (["path", "label"], ". --labels label takes that one (with"),
        (
            ["path", "a b", "c"],
            ". --labels 'a b' takes that one, or several, such as 'a b,c' (with",
        ),
        (["path", "split", "v", "w", "x", "y"], "or several, such as v,w,x (with"),
        (["path"], "; it has path. --labels '' is for images without labels"),
        (["filename", "text"], "or --characters text for"),
        (
            ["a.png,1"],
            "--columns path,y0 names the columns of a list without one. It has no label ",
        ),
    ],
)
def test_labels_are_hinted_at_by_the_columns_that_are_there(
    tmp_path: Path, columns: list[str], hint: str
) -> None:
    (tmp_path / "t.tsv").write_text("\t".join(columns) + "\n" + "\t".join("1" for _ in columns))
    with pytest.raises(TableError) as caught:
        read(tmp_path / "t.tsv")
    assert hint in str(caught.value)
    for name in re.findall(r"--labels (\S+) takes", str(caught.value)):
        assert name in columns


@pytest.mark.parametrize("name", ["Split", "SPLITS", "subset", "Partition"])
def test_a_column_that_looks_like_splits_is_not_left_out_in_silence(
    tmp_path: Path, name: str
) -> None:
    rows = [["a.png", 0, "train"], ["b.png", 1, "val"]]
    table = write_csv(tmp_path / "t.csv", ["path", "y0", name], rows)
    (note,) = read(table).notes
    assert f"--split-column {name} takes it" in note
    assert read(table, reading=Reading(split_column=name)).splits == ("train", "val")
    assert read(table, reading=Reading(split_column="")).notes == ()
    assert read(table, labels=(name,), text_labels=True).splits == ("train",)


def test_splits_that_differ_in_case_only_are_refused(tmp_path: Path) -> None:
    rows = [["a.png", 0, "train"], ["b.png", 1, "Train"]]
    table = write_csv(tmp_path / "t.csv", ["path", "y0", "split"], rows)
    with pytest.raises(TableError, match="Train and train differ in case only; --split-names Tr"):
        read(table)
    assert read(table, reading=Reading(split_names=(("Train", "train"),))).splits == ("train",)
    with pytest.raises(OptionError, match="each once"):
        SplitShares.parse("train=0.5,Train=0.5")


@pytest.mark.parametrize(
    "unseen", ["\0", "\u200b", "\u200d", "\ufeff", "\u200f", "\ufe0f", "\u00ad"]
)
@pytest.mark.parametrize("place", [0, 1, 3])
def test_classes_that_nobody_can_tell_apart_are_named(
    tmp_path: Path, unseen: str, place: int
) -> None:
    twin = "cat"[:place] + unseen + "cat"[place:]
    for words, noted in (["cat", twin, "dog"], True), ([twin, "dog"], False), ([unseen], True):
        rows = [[f"{n}.png", word] for n, word in enumerate(words)]
        table = write_csv(tmp_path / "t.csv", ["path", "y0"], rows)
        found = [note for note in read(table, text_labels=True).notes if "nobody sees" in note]
        assert len(found) == noted
        assert all(ascii(words[-1 if len(words) == 1 else 1]) in note for note in found)


@given(st.lists(st.text(st.characters(categories=("L", "N", "P", "S"))), unique=True))
def test_characters_that_are_seen_are_not_noted(words: list[str]) -> None:
    assert unseen_characters([word for word in words if word]) == []


@pytest.mark.parametrize("text", [" none ", "none", "no\u0301ne"])
def test_what_is_missing_is_called_as_labels_are(tmp_path: Path, text: str) -> None:
    plain = unicodedata.normalize("NFC", text.strip())
    table = write_csv(tmp_path / "t.csv", ["path", "y0"], [["a", "b"], ["b", ""], ["c", plain]])
    found = read(table, text_labels=True, reading=Reading(missing=text))
    assert found.vocabulary == ("b", plain)
    assert found.labels[:, 0].tolist() == [0, 1, 1]


def test_words_of_a_vocabulary_are_what_labels_are(tmp_path: Path) -> None:
    """One that is written apart, or with white space, would be no class of any label."""
    (tmp_path / "words").write_text("e\u0301\n b \n \n")
    assert read_vocabulary(str(tmp_path / "words")) == ("\u00e9", "b", " ")
    (tmp_path / "words").write_text("e\u0301\n\u00e9\n")
    with pytest.raises(OptionError, match="line 2 has 'é' again, as line 1"):
        read_vocabulary(str(tmp_path / "words"))


@pytest.mark.parametrize("words", ["中國,人民", "一二三,大人", "臺灣,香港"])
def test_big5_is_not_taken_for_gb18030(tmp_path: Path, words: str) -> None:
    text = "path,y0\n" + "".join(f"{n}.png,{word}\n" for n, word in enumerate(words.split(",")))
    (tmp_path / "t.csv").write_bytes(text.encode("big5"))
    with pytest.raises(TableError, match=r"--encoding names what it is, .* big5"):
        read(tmp_path / "t.csv", text_labels=True)
    (tmp_path / "t.csv").write_bytes(text.encode("gb18030"))
    found = read(tmp_path / "t.csv", text_labels=True)
    assert sorted(found.vocabulary or ()) == sorted(words.split(","))


def test_boxes_in_shares_of_the_image_are_refused(tmp_path: Path) -> None:
    rows = [["a.png", 0, 0.25, 0.25, 0.5, 0.5], ["b.png", 0, 1.2, 0, 1, 1]]
    table = write_csv(tmp_path / "t.csv", ["path", "c", "x", "y", "w", "h"], rows)
    with pytest.raises(TableError, match=r"has 1 bad row .*\n .*row 0: the box is in shares of"):
        read(table, labels=("c",), crop=CropColumns.parse("x,y,w,h"))


def test_characters_of_several_lengths_are_sequences(tmp_path: Path) -> None:
    table = write_csv(tmp_path / "t.csv", ["path", "text"], [["a.png", "ab"], ["b.png", "abc"]])
    how = {"text_labels": True, "reading": Reading(characters="text")}
    with pytest.raises(
        TableError, match=r"--sequence text:N keeps texts(.|\n)*row 1: text is 'abc'"
    ):
        read(table, **how)


def test_what_is_missing_in_vectors_and_floats_has_no_class(tmp_path: Path) -> None:
    table = write_csv(tmp_path / "t.csv", ["path", "v", "y0"], [["a", "1 2", ""], ["b", "", "1"]])
    missing = Reading(missing="0")
    others = OtherHeads(vectors=("v",))
    with pytest.raises(OptionError, match="v has no classes, and every row needs a value"):
        read(table, labels=(), others=others, reading=missing)
    with pytest.raises(TableError, match="row 1: v is missing"):
        read(table, others=others, reading=missing)


@pytest.mark.parametrize("kind", ["floats", "vectors", "labels"])
def test_objects_are_no_labels(tmp_path: Path, kind: str) -> None:
    (tmp_path / "t.jsonl").write_text(json.dumps({"path": "a.png", "s": {"a": 1}}))
    how: dict[str, Any] = {"labels": ("s",)}
    if kind != "labels":
        others = OtherHeads(floats=("s",)) if kind == "floats" else OtherHeads(vectors=("s",))
        how = {"labels": (), "others": others}
    with pytest.raises(
        TableError, match=r"column s of .*t\.jsonl cannot be read: its values are str"
    ):
        read(tmp_path / "t.jsonl", **how)


def test_large_integers_are_floats(tmp_path: Path) -> None:
    numbers = pa.array([2**63 - 1, -(2**63), 3], pa.int64())
    parquet.write_table(pa.table({"path": list("abc"), "s": numbers}), tmp_path / "t.parquet")
    found = read(tmp_path / "t.parquet", labels=(), others=OtherHeads(floats=("s",)))
    values = found.labels[:, 0].astype("int32").view("float32").tolist()
    assert values == [2.0**63, -(2.0**63), 3.0]


def test_parquet_has_no_encoding(tmp_path: Path) -> None:
    texts = pa.array([b"\xd6\xd0", b"a"])
    parquet.write_table(pa.table({"path": ["a", "b"], "y0": texts}), tmp_path / "t.parquet")
    with pytest.raises(TableError, match=r"not UTF-8 .*; write them as texts") as caught:
        read(tmp_path / "t.parquet", text_labels=True)
    assert "--encoding" not in str(caught.value)


def test_folders_that_link_to_each_other_end(tmp_path: Path) -> None:
    for one, other in (("x", "y"), ("y", "x")):
        write_images(tmp_path / "set" / one, 1)
        os.symlink(f"../{other}", tmp_path / "set" / one / f"to_{other}")
    found = read(tmp_path / "set", labels=())
    paths = ["x/0000.jpg", "x/to_y/0000.jpg", "y/0000.jpg", "y/to_x/0000.jpg"]
    assert found.paths(np.arange(len(found))) == paths


def test_a_folder_that_cannot_be_read_is_named() -> None:
    user = os.geteuid()
    # Folders of pytest are those of one user, and root reads every folder.
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        for inner in ("x", "y"):
            write_images(folder / inner, 1)
        (folder / "y").chmod(0)
        try:
            if user == 0:
                os.seteuid(65534)
            with pytest.raises(TableError, match="y: Permission denied; the images in this folder"):
                read(folder, labels=())
        finally:
            os.seteuid(user)
            (folder / "y").chmod(0o755)


def test_texts_that_are_sequences_have_a_line(tmp_path: Path) -> None:
    names = write_images(tmp_path, 3)
    rows = zip(names, ["ab", "abc", "ca"], strict=True)
    table = write_csv(tmp_path / "t.csv", ["path", "text"], rows)
    options = ConvertOptions(transform=Transform(None, (16, 8)), sequences=(("text", 8),))
    summary = convert(str(table), str(tmp_path / "out"), options, engine="inline")
    line = "text: texts of 2 to 3 of 8 characters, most often 2 (2 x); 3 ids of characters"
    assert f"label     {line}" in summary.lines()
    assert summary.to_json()["labels"][0]["longest"] == 3
