"""LMDB sets give the shards that the same files give, and damage in them is named."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from converter import ConvertOptions, convert
from converter.table.reading import Reading
from reader import open_shards
from shardio.errors import RejectsError, TableError
from shardio.format.transform import Transform
from tests.converter.inputs import contents
from tests.converter.sample_sets import LABELS, values_of, write_files, write_lmdb
from tests.converter.table.samples.test_webdataset import inline, shards

OPTIONS = ConvertOptions(
    transform=Transform(None, (16, 8)), shards=4, labels=("label",), text_labels=True
)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(numbers=st.lists(st.integers(0, 11), min_size=1, max_size=12), subdir=st.booleans())
def test_shards_are_those_of_the_same_files(
    tmp_path_factory: pytest.TempPathFactory, numbers: list[int], subdir: bool
) -> None:
    folder = tmp_path_factory.mktemp("t")
    name = "set" if subdir else "set.lmdb"
    found = write_lmdb(folder / name, values_of(numbers), subdir=subdir)
    files = write_files(folder / "files", numbers)
    files.write_text(files.read_text().replace("txt", "label"))
    inline(found, folder / "a", OPTIONS)
    inline(files, folder / "b", OPTIONS)
    assert shards(folder / "a") == shards(folder / "b")
    rows = parquet.read_table(folder / "a" / "records.parquet").to_pydict()
    paths = dict(zip(rows["row"], rows["path"], strict=True))
    assert paths == {n: f"{name}::image-{n + 1:09d}" for n in range(len(numbers))}


def test_engines_and_workers_make_the_same_bytes(tmp_path: Path) -> None:
    found = write_lmdb(tmp_path / "set", values_of(range(12)))
    inline(found, tmp_path / "a", OPTIONS)
    convert(str(found), str(tmp_path / "b"), OPTIONS, workers=2)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_characters_of_the_texts_are_labels(tmp_path: Path) -> None:
    found = write_lmdb(tmp_path / "set", values_of(range(12)))
    options = ConvertOptions(text_labels=True, reading=Reading(characters="label"))
    inline(found, tmp_path / "out", options)
    opened = open_shards(str(tmp_path / "out"), split="train")
    words = opened.labels[0].vocabulary
    assert words is not None
    batch = next(opened.batches(batch_size=12, shuffle="none", rows=True))
    texts = ["".join(words[int(y[n])] for y in batch[1]) for n in range(12)]
    assert [LABELS[int(row)] for row in batch[2]] == texts


def test_two_sets_are_one_table(tmp_path: Path) -> None:
    for name, numbers in (("one", range(5)), ("two", range(5, 12))):
        (tmp_path / name).mkdir()
        write_lmdb(tmp_path / name / "set", values_of(numbers))
    inline([tmp_path / "one" / "set", tmp_path / "two" / "set"], tmp_path / "a", OPTIONS)
    inline(write_lmdb(tmp_path / "all", values_of(range(12))), tmp_path / "b", OPTIONS)
    assert shards(tmp_path / "a") == shards(tmp_path / "b")
    rows = parquet.read_table(tmp_path / "a" / "records.parquet").to_pydict()
    assert "two/set::image-000000007" in rows["path"]


def without(key: bytes) -> Callable[[dict[bytes, bytes]], object]:
    return lambda values: values.pop(key)


def set_to(others: dict[bytes, bytes]) -> Callable[[dict[bytes, bytes]], object]:
    def change(values: dict[bytes, bytes]) -> None:
        values.clear()
        values.update(others)

    return change


def with_value(key: bytes, value: bytes) -> Callable[[dict[bytes, bytes]], object]:
    return lambda values: values.update({key: value})


DAMAGES: dict[str, tuple[Callable[[dict[bytes, bytes]], object], str]] = {
    "no number": (without(b"num-samples"), "has no key num-samples.*'image-000000001'"),
    "number is none": (with_value(b"num-samples", b"many"), "num-samples is 'many'"),
    "number is zero": (with_value(b"num-samples", b"0"), "num-samples is '0'"),
    "number too small": (
        with_value(b"num-samples", b"10"),
        "num-samples is 10, but the last image is number 12",
    ),
    "number too large": (
        with_value(b"num-samples", b"14"),
        "num-samples is 14, but the last image is number 12",
    ),
    "no label": (without(b"label-000000003"), "row 2: label is missing"),
    "label is no UTF-8": (
        with_value(b"label-000000003", b"\xff\xfe"),
        "set: label-000000003 is no UTF-8",
    ),
    "empty": (set_to({}), "has no key num-samples.*first keys are none"),
    "keys of another kind": (
        set_to({b"0": b"1", b"num-samples": b"1"}),
        "num-samples is 1, but the last image is number 0",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_named(tmp_path: Path, damage: str) -> None:
    values = values_of(range(12))
    do, message = DAMAGES[damage]
    do(values)
    with pytest.raises(TableError, match=message):
        inline(write_lmdb(tmp_path / "set", values), tmp_path / "out", OPTIONS)


def test_an_image_that_is_not_there_is_a_reject(tmp_path: Path) -> None:
    values = values_of(range(12))
    del values[b"image-000000003"]
    found = write_lmdb(tmp_path / "set", values)
    with pytest.raises(RejectsError, match="the sample has no image"):
        inline(found, tmp_path / "out", OPTIONS)
    inline(found, tmp_path / "out", OPTIONS, max_rejects="1")
    assert (tmp_path / "out" / "rejects.csv").read_text().splitlines()[1:] == [
        '2,"set::image-000000003","the sample has no image"'
    ]


@pytest.mark.parametrize("subdir", [True, False])
def test_one_that_is_cut_is_named(tmp_path: Path, subdir: bool) -> None:
    found = write_lmdb(tmp_path / "set.lmdb", values_of(range(12)), subdir=subdir)
    file = found / "data.mdb" if subdir else found
    whole = file.read_bytes()
    for size in range(0, len(whole), 4096):
        file.write_bytes(whole[:size])
        with pytest.raises(TableError, match=r"is cut|cannot be read as LMDB"):
            inline(found, tmp_path / "out", OPTIONS)


def test_damage_is_named_and_never_ends_the_process(tmp_path: Path) -> None:
    """LMDB follows what pages say, also beyond the end of the file, where reading is SIGBUS."""
    found = write_lmdb(tmp_path / "set.lmdb", values_of(range(12)), subdir=False)
    whole = found.read_bytes()
    said = set()
    pages = range(0, len(whole), 4096)
    for page, (at, byte) in [*product(pages[2::2], [(16, 0xF0)]), (pages[-1], (17, 0xFF))]:
        damaged = bytearray(whole)
        damaged[page + at] = byte
        found.write_bytes(damaged)
        with suppress(RejectsError):
            try:
                inline(found, tmp_path / "out", OPTIONS, overwrite=True)
            except TableError as error:
                assert str(found) in str(error)  # noqa: PT017
                said.add(str(error).rpartition("; ")[2])
    assert "fetch it again, or write it again from its images and labels" in {
        line.rpartition(": ")[2] for line in said
    }


def test_there_is_no_choice_of_images(tmp_path: Path) -> None:
    found = write_lmdb(tmp_path / "set", values_of(range(2)))
    with pytest.raises(TableError, match="one image a sample; no --image-column"):
        inline(found, tmp_path / "out", replace(OPTIONS, image_column="image"))


def test_what_is_no_lmdb_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.lmdb").write_bytes(b"x" * 10_000)
    with pytest.raises(TableError, match=r"a\.lmdb cannot be read as LMDB"):
        inline(tmp_path / "a.lmdb", tmp_path / "out", OPTIONS)
    with pytest.raises(TableError, match="an LMDB is read from a disk"):
        inline("memory://a.lmdb", tmp_path / "out", OPTIONS)
