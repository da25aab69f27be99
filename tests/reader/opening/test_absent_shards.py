"""Shards that dataset.json lists and a folder lacks are named, whatever opens the others."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import chain, combinations
from pathlib import Path

import fsspec
import pytest

from reader import open_shards
from reader.commands.cli import main
from reader.commands.staging import Staging
from shardio.errors import DatasetError, MissingFileError, OptionError
from tests.reader.datasets import Made, write_dataset

TRAIN = ("train-00000-of-00002.tfrecord", "train-00001-of-00002.tfrecord")
VAL = ("val-00000-of-00001.tfrecord",)
SHARDS = (*TRAIN, *VAL)
Output = pytest.CaptureFixture[str]


@pytest.fixture
def two(tmp_path: Path) -> Made:
    """A dataset of two splits."""
    folder = tmp_path / "two"
    val = write_dataset(folder, (4,), split="val", seed=1)
    made = write_dataset(folder, (5, 6))
    written = made.manifest.rows_written + val.manifest.rows_written
    manifest = replace(
        made.manifest,
        shards=made.manifest.shards + val.manifest.shards,
        rows_read=written,
        rows_written=written,
    )
    (folder / "dataset.json").write_bytes(manifest.to_json())
    return replace(made, manifest=manifest)


# What opens a set, and the shards that it names.
SOURCES: tuple[tuple[list[str], str | None, tuple[str, ...]], ...] = (
    ([""], "*", SHARDS),
    ([""], "train", TRAIN),
    ([""], "val", VAL),
    (["/*.tfrecord"], None, SHARDS),
    (["/*"], None, SHARDS),
    (["/[tv]*-of-0000?.tfrecord"], None, SHARDS),
    (["/train-*"], None, TRAIN),
    (["/val-*"], None, VAL),
    (["/*-00000-*"], None, (TRAIN[0], *VAL)),
    (["/train-*", "/val-*"], None, SHARDS),
)
LOST = [*chain.from_iterable(combinations(SHARDS, count) for count in range(3))]


@pytest.mark.parametrize(("texts", "split", "named"), SOURCES)
@pytest.mark.parametrize("lost", LOST)
@pytest.mark.parametrize("storage", ["local", "memory"])
def test_what_a_source_would_name_is_there_or_is_named(
    two: Made,
    texts: list[str],
    split: str | None,
    named: tuple[str, ...],
    lost: tuple[str, ...],
    storage: str,
) -> None:
    for name in lost:
        (two.folder / name).unlink()
    folder = str(two.folder)
    if storage == "memory":
        fsspec.filesystem("memory").put(folder, f"memory:/{folder}", recursive=True)
        folder = f"memory:/{folder}"
    source = [folder + text for text in texts]
    # Every pattern finds something, and splits that were begun are whole.
    none_found = not {*named} - {*lost} or (len(texts) == 2 and VAL[0] in lost)
    begun = {name.partition("-")[0] for name in named if name not in lost}
    wanted = {*named, *(name for name in SHARDS if name.partition("-")[0] in begun)}
    missing = sorted(wanted & {*lost})
    if none_found or (len(texts) == 2 and {*TRAIN} <= {*lost}):
        with pytest.raises(MissingFileError):
            open_shards(source[0] if len(source) == 1 else source, split)
    elif missing:
        with pytest.raises(DatasetError) as caught:
            open_shards(source[0] if len(source) == 1 else source, split)
        for name in missing:
            assert f"{folder}/{name} is missing" in str(caught.value)
    else:
        shards = open_shards(source[0] if len(source) == 1 else source, split)
        assert {shard.path.rpartition("/")[2] for shard in shards.shards} == {*named}


def test_the_only_split_of_a_folder_may_not_be_the_only_one(two: Made) -> None:
    with pytest.raises(OptionError, match="has the splits train, val; choose one"):
        open_shards(two.folder)
    (two.folder / VAL[0]).unlink()
    with pytest.raises(DatasetError, match=f"{VAL[0]} is missing; to open what is there, name its"):
        open_shards(two.folder)
    assert len(open_shards(two.folder, "train")) == 11


def test_verify_and_info_name_what_is_lost(two: Made, capsys: Output) -> None:
    for name in TRAIN:
        (two.folder / name).unlink()
    for command in ("verify", "info"):
        assert main([command, str(two.folder)]) == 1
        said = capsys.readouterr().err
        assert all(f"{name} is missing" in said for name in TRAIN)
        assert main([command, str(two.folder), "--split", "val"]) == 0
        out, err = capsys.readouterr()
        lines = (out + err).splitlines()
        (line,) = [line for line in lines if "dataset.json lists 2 shards not there" in line]
        assert all(name in line for name in TRAIN)


def staged(two: Made, to: Path, split: str | None) -> None:
    Staging(str(two.folder), str(to), split).run(lambda size: None)


def test_a_single_split_that_was_staged_is_whole_and_says_that_it_is_one(
    two: Made, tmp_path: Path, capsys: Output
) -> None:
    to = tmp_path / "to"
    staged(two, to, "train")
    assert json.loads((to / ".shardio/staged.json").read_text()) == {"splits": ["train"]}
    for source, split in ((to, None), (to, "*"), (to, "train"), (f"{to}/*.tfrecord", None)):
        assert len(open_shards(source, split)) == 11
    for command in ("verify", "info"):
        assert main([command, str(to)]) == 0
        out, err = capsys.readouterr()
        assert "only train was copied here; not staged: val (1 shard)" in out + err
        assert "not there" not in out + err
    (to / TRAIN[1]).unlink()
    with pytest.raises(DatasetError, match=f"{TRAIN[1]} is missing"):
        open_shards(to)
    staged(two, to, "train")
    assert len(open_shards(to)) == 11
    again = tmp_path / "again"
    Staging(str(to), str(again), None).run(lambda size: None)
    assert len(open_shards(again)) == 11


def test_with_the_other_split_the_copy_is_the_whole_set(two: Made, tmp_path: Path) -> None:
    to = tmp_path / "to"
    staged(two, to, "val")
    staged(two, to, "train")
    assert not (to / ".shardio").exists()
    assert len(open_shards(to, "*")) == 15
    (to / VAL[0]).unlink()
    staged(two, to, "train")  # which says nothing of the other
    with pytest.raises(DatasetError, match=f"{VAL[0]} is missing"):
        open_shards(to, "*")


@pytest.mark.parametrize("mark", [b"{", b"[]", b'{"splits": 3}', b'{"splits": []}', b"{}"])
def test_a_mark_that_says_nothing_excuses_nothing(two: Made, mark: bytes) -> None:
    (two.folder / ".shardio").mkdir()
    (two.folder / ".shardio/staged.json").write_bytes(mark)
    (two.folder / VAL[0]).unlink()
    with pytest.raises(DatasetError, match=f"{VAL[0]} is missing"):
        open_shards(two.folder, "*")
