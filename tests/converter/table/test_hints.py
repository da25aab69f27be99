"""What a message says when a table was meant in another way."""

from __future__ import annotations

import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from converter import ConvertOptions, convert
from converter.table.cells.other_heads import OtherHeads
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
