"""Parquet files as Hugging Face writes them are tables without an option."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from converter import ConvertOptions
from converter.table.reading import Reading
from reader import open_shards
from shardio.errors import OptionError, TableError
from shardio.format.transform import Transform
from tests.converter.inputs import contents, write_csv
from tests.converter.sample_sets import IMAGES
from tests.converter.table.samples.test_webdataset import inline, shards

OPTIONS = ConvertOptions(transform=Transform(None, (16, 8)), shards=2, labels=("label",))
FACE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
NAMES = ["dog", "cat", "bird"]


def write(
    file: Path,
    rows: list[dict[str, Any]],
    *,
    names: list[str] | None = None,
    labels: list[int] | None = None,
    **more: Any,
) -> Path:
    features = {
        "image": {"_type": "Image"},
        "label": {"names": names or NAMES, "_type": "ClassLabel"},
    }
    metadata = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    labels = labels or [n % 2 for n in range(len(rows))]
    table = pa.table({"image": pa.array(rows, FACE), "label": pa.array(labels, pa.int64()), **more})
    parquet.write_table(table.replace_schema_metadata(metadata), file, row_group_size=5)
    return file


def bytes_of_all() -> list[dict[str, Any]]:
    return [{"bytes": image, "path": f"{n}.png"} for n, image in enumerate(IMAGES)]


def paths_of_all(folder: Path) -> list[dict[str, Any]]:
    """Write the images as files; returns the rows that name them."""
    folder.mkdir()
    for n, image in enumerate(IMAGES):
        (folder / f"{n}.png").write_bytes(image)
    return [{"bytes": None, "path": f"{folder.name}/{n}.png"} for n in range(len(IMAGES))]


def test_bytes_are_found_and_classes_are_named(tmp_path: Path) -> None:
    table = write(tmp_path / "t.parquet", bytes_of_all())
    inline(table, tmp_path / "a", OPTIONS)
    inline(table, tmp_path / "b", replace(OPTIONS, image_column="image"))
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    (label,) = open_shards(str(tmp_path / "a"), split="train").labels
    assert (label.classes, label.vocabulary) == (3, ("dog", "cat", "bird"))


def test_paths_are_found(tmp_path: Path) -> None:
    table = write(tmp_path / "t.parquet", paths_of_all(tmp_path / "i"))
    inline(table, tmp_path / "a", OPTIONS)
    rows = [[f"i/{n}.png", n % 2] for n in range(len(IMAGES))]
    inline(write_csv(tmp_path / "t.csv", ["path", "label"], rows), tmp_path / "b", OPTIONS)
    assert shards(tmp_path / "a") == shards(tmp_path / "b")
    records = parquet.read_table(tmp_path / "a" / "records.parquet").to_pydict()
    assert {*records["path"]} == {path for path, _ in rows}


def test_texts_are_the_names_in_the_order_of_another_set(tmp_path: Path) -> None:
    table = write(tmp_path / "t.parquet", bytes_of_all())
    options = replace(OPTIONS, text_labels=True, vocabulary=("bird", "cat", "dog"))
    inline(table, tmp_path / "out", options)
    records = parquet.read_table(tmp_path / "out" / "records.parquet").to_pydict()
    assert [records["label"][n] for n in range(12)] == [2 - row % 2 for row in records["row"]]
    inline(table, tmp_path / "own", replace(OPTIONS, text_labels=True))
    assert open_shards(str(tmp_path / "own"), split="train").labels[0].vocabulary == ("cat", "dog")


def test_a_class_without_name_is_a_bad_row(tmp_path: Path) -> None:
    labels = [0] * 11 + [3]
    table = write(tmp_path / "t.parquet", bytes_of_all(), labels=labels)
    with pytest.raises(TableError, match=r"row 11: label is 3, not in 0 to 2 \(3 classes\)"):
        inline(table, tmp_path / "out", OPTIONS)
    for reading in (Reading(), Reading(missing="none")):
        options = replace(OPTIONS, text_labels=True, reading=reading)
        with pytest.raises(TableError, match="row 11: label is 3, and 3 classes have names"):
            inline(table, tmp_path / "out", options)
    labels[11] = -1
    table = write(tmp_path / "t.parquet", bytes_of_all(), labels=labels)
    with pytest.raises(TableError, match=r"row 11: label is -1, not in 0 to 2"):
        inline(table, tmp_path / "out", OPTIONS)
    inline(table, tmp_path / "out", replace(OPTIONS, reading=Reading(missing="2")))


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "path column": ({"reading": Reading(path_column="image")}, "image holds images, not paths"),
    "classes": ({"classes": 3}, "names of the classes of label; leave out --classes"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_refused(tmp_path: Path, case: str) -> None:
    how, message = REFUSED[case]
    table = write(tmp_path / "t.parquet", bytes_of_all())
    with pytest.raises(TableError, match=message):
        inline(table, tmp_path / "out", replace(OPTIONS, **how))
    with pytest.raises(OptionError, match="images in a column have none"):
        inline(table, tmp_path / "out", OPTIONS, unique=True)


def test_two_classes_of_one_name_are_refused(tmp_path: Path) -> None:
    """Whoever asks for one of them by its name would get half of them."""
    table = write(tmp_path / "t.parquet", bytes_of_all(), names=["dog", "cat", "dog"])
    with pytest.raises(TableError, match=r"two classes of label are called 'dog'"):
        inline(table, tmp_path / "out", OPTIONS)


def test_options_for_the_other_kind_are_refused(tmp_path: Path) -> None:
    table = write(tmp_path / "t.parquet", paths_of_all(tmp_path / "i"))
    with pytest.raises(TableError, match="names images that are elsewhere; leave out --image-c"):
        inline(table, tmp_path / "out", replace(OPTIONS, image_column="image"))
    inline(table, tmp_path / "a", OPTIONS)
    inline(table, tmp_path / "b", replace(OPTIONS, reading=Reading(path_column="image")))
    assert shards(tmp_path / "a") == shards(tmp_path / "b")


def test_images_beside_paths_are_said_with_the_way_to_them(tmp_path: Path) -> None:
    """Paths are taken; what is not must not go without a word."""
    named = paths_of_all(tmp_path / "i")
    paths = pa.array([row["path"] for row in reversed(named)])
    rows = bytes_of_all()
    files = [row["bytes"] for row in rows]
    options = replace(OPTIONS, image_column="image")
    for name, given, column, way in (
        ("struct", rows, {}, options),
        ("named", named, {}, replace(OPTIONS, reading=Reading(path_column="image"))),
        ("bytes", None, {"jpg": pa.array(files)}, replace(OPTIONS, image_column="jpg")),
    ):
        table = write(tmp_path / f"{name}.parquet", given or named, path=paths, **column)
        if given is None:
            parquet.write_table(parquet.read_table(table).drop_columns(["image"]), table)
        summary = inline(table, tmp_path / name, OPTIONS)
        option = "path" if name == "named" else "image"
        column_name = "jpg" if given is None else "image"
        (note,) = [note for note in summary.notes if "the images are those of the paths" in note]
        assert f"--{option}-column {column_name} takes" in note
        other = inline(table, tmp_path / f"{name} other", way)
        assert not [note for note in other.notes if "the images are those" in note]
        assert shards(tmp_path / f"{name} other") != shards(tmp_path / name)


def test_two_columns_of_images_are_a_choice(tmp_path: Path) -> None:
    rows = bytes_of_all()
    table = write(tmp_path / "t.parquet", rows, other=pa.array(rows, FACE))
    with pytest.raises(TableError, match="has no column path"):
        inline(table, tmp_path / "out", OPTIONS)
    inline(table, tmp_path / "out", replace(OPTIONS, image_column="other"))


def test_files_with_other_names_are_no_table(tmp_path: Path) -> None:
    first = write(tmp_path / "a.parquet", bytes_of_all())
    second = write(tmp_path / "b.parquet", bytes_of_all(), names=["dog", "bird", "cat"])
    with pytest.raises(TableError, match=r"b\.parquet has other names of the classes of label"):
        inline([first, second], tmp_path / "out", OPTIONS)


@pytest.mark.parametrize("text", [b"", b"[]", b'{"info": 3}', b'{"info": {"features": [1]}}'])
def test_other_metadata_says_nothing(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "0.png").write_bytes(IMAGES[1])
    table = pa.table({"path": ["0.png"], "label": [1]})
    table = table.replace_schema_metadata({b"huggingface": text})
    parquet.write_table(table, tmp_path / "t.parquet")
    inline(tmp_path / "t.parquet", tmp_path / "out", OPTIONS)
    assert open_shards(str(tmp_path / "out"), split="train").labels[0].vocabulary is None
