from __future__ import annotations

import copy
import pickle
import shutil
from pathlib import Path
from typing import Any

import fsspec
import pytest

from reader import open_shards
from shardio.errors import DatasetError, ManifestError, MissingFileError, OptionError
from tests.reader.datasets import Made, write_dataset


def test_a_glob_a_folder_and_a_list_are_the_same_set(made: Made) -> None:
    by_glob = open_shards(made.glob)
    by_folder = open_shards(str(made.folder))
    by_path = open_shards(made.folder)
    by_list = open_shards([str(made.shard(i)) for i in (4, 2, 0, 3, 1)])
    assert by_glob.shards == by_folder.shards == by_path.shards == by_list.shards
    assert len(by_glob) == 37
    assert by_glob.classes == (7, 30)
    assert by_glob.left_out == ()


def test_a_set_in_memory_is_read_like_one_on_disk(made: Made) -> None:
    fsspec.filesystem("memory").put(str(made.folder), "memory://opening", recursive=True)
    shards = open_shards("memory://opening/train-*.tfrecord")
    for index in range(len(shards)):
        assert (shards[index][0] == made.images[index]).all()


def test_nothing_found_is_named() -> None:
    with pytest.raises(MissingFileError, match=r"no shards match .*nowhere/train-\*"):
        open_shards("nowhere/train-*")


def test_a_part_of_the_shards_is_fine_and_said(made: Made) -> None:
    shards = open_shards(f"{made.folder}/train-0000[02]-*")
    assert len(shards) == 13
    assert shards.left_out == tuple(made.manifest.shards[i].file for i in (1, 3, 4))


@pytest.mark.parametrize("manifest", [True, False])
def test_a_shard_that_is_gone_is_named(made: Made, manifest: bool) -> None:
    shape = None if manifest else (2, 3, 3)
    made.shard(3).unlink()
    if not manifest:
        (made.folder / "dataset.json").unlink()
    for source in (made.folder, made.glob, f"{made.folder}/train-0000[02]-*"):
        with pytest.raises(DatasetError, match=f"{made.shard(3)} is missing"):
            open_shards(source, shape=shape)


def test_shards_of_one_dataset_may_lie_in_several_folders(made: Made, tmp_path: Path) -> None:
    second = tmp_path / "second"
    second.mkdir()
    shutil.copy(made.folder / "dataset.json", second)
    for index in (3, 4):
        made.shard(index).rename(second / made.shard(index).name)
    assert len(open_shards([made.glob, f"{second}/train-*"])) == 37
    some = open_shards([made.glob, f"{second}/train-00003-*"])
    assert some.left_out == (made.shard(4).name,)


def test_a_set_stays_open_when_the_process_goes_elsewhere(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(made.folder.parent)
    shards = open_shards("shards/train-*")
    monkeypatch.chdir("/")
    assert (shards[3][0] == made.images[3]).all()


def test_a_folder_whose_name_looks_like_a_glob_is_opened(tmp_path: Path) -> None:
    made = write_dataset(tmp_path / "run[1]")
    assert len(open_shards(made.folder)) == 37
    assert len(open_shards([made.shard(i) for i in range(5)])) == 37


@pytest.mark.parametrize("source", [[], "", ["a", ""]])
def test_no_name_is_refused(source: list[str] | str) -> None:
    with pytest.raises(OptionError, match="no shards are named"):
        open_shards(source)


def test_a_copy_reads_and_leaves_the_original_alone(made: Made) -> None:
    shards = open_shards(made.glob)
    shards[0]
    for copied in (copy.deepcopy(shards), pickle.loads(pickle.dumps(shards))):
        assert (copied[20][0] == made.images[20]).all()
        del copied
    assert (shards[20][0] == made.images[20]).all()


@pytest.mark.parametrize(("size", "words"), [(-1, "was cut"), (1, "is too long")])
def test_every_shard_of_another_size_is_named(made: Made, size: int, words: str) -> None:
    for index in (0, 4):
        data = made.shard(index).read_bytes()
        made.shard(index).write_bytes(data[:size] if size < 0 else data + b"x")
    with pytest.raises(DatasetError) as caught:
        open_shards(made.glob)
    for index in (0, 4):
        assert f"{made.shard(index)} {words}" in str(caught.value)


def test_a_shard_cut_at_the_edge_of_a_record_is_named(made: Made) -> None:
    made.shard(2).write_bytes(made.shard(2).read_bytes()[: -made.layout.stride])
    with pytest.raises(DatasetError, match=f"{made.shard(2)} was cut"):
        open_shards(made.glob)


def test_shards_of_two_datasets_are_refused(made: Made, tmp_path: Path) -> None:
    write_dataset(tmp_path / "others", seed=1)
    with pytest.raises(DatasetError, match="different datasets"):
        open_shards(f"{tmp_path}/*/train-*.tfrecord")


def test_a_shard_of_another_dataset_among_ours_is_refused(made: Made, tmp_path: Path) -> None:
    other = write_dataset(tmp_path / "others", (3, 4), seed=1)
    shutil.copy(other.shard(0), made.folder)
    with pytest.raises(DatasetError, match=r"train-00000-of-00002.* is not a shard of the dataset"):
        open_shards(made.glob)


def test_the_same_shard_twice_is_refused(made: Made, tmp_path: Path) -> None:
    shutil.copytree(made.folder, tmp_path / "copy")
    with pytest.raises(DatasetError, match="is the same shard as"):
        open_shards([made.glob, f"{tmp_path}/copy/train-00000*"])
    with pytest.raises(DatasetError, match="named twice"):
        open_shards([made.glob, str(made.shard(0))])


def test_a_damaged_manifest_is_named(made: Made) -> None:
    (made.folder / "dataset.json").write_bytes(b"{")
    with pytest.raises(ManifestError, match=r"dataset\.json is not valid JSON"):
        open_shards(made.glob)


def test_an_unfinished_conversion_is_no_dataset(made: Made) -> None:
    (made.folder / "dataset.json").unlink()
    (made.folder / ".shardio").mkdir()
    (made.folder / ".shardio" / "plan.json").write_text("{}")
    for source in (made.glob, str(made.folder)):
        with pytest.raises(DatasetError, match="not a dataset yet: a conversion into it is not"):
            open_shards(source)


def test_splits_of_a_folder_are_chosen_by_name(tmp_path: Path) -> None:
    train = write_dataset(tmp_path, (4, 5))
    assert len(open_shards(tmp_path, split="train")) == 9
    with pytest.raises(MissingFileError, match="has no split val; it has train"):
        open_shards(tmp_path, split="val")
    with pytest.raises(OptionError, match="a glob names its files itself"):
        open_shards(train.glob, split="train")
    shutil.copy(train.shard(0), tmp_path / "val-00000-of-00001.tfrecord")
    with pytest.raises(OptionError, match="has the splits train, val; choose one"):
        open_shards(tmp_path)


class TestWithoutManifest:
    @pytest.fixture
    def bare(self, made: Made) -> Made:
        (made.folder / "dataset.json").unlink()
        return made

    def test_the_shape_is_asked_for_and_the_rest_found(self, bare: Made) -> None:
        with pytest.raises(OptionError, match=r"shape=\(height, width, channels\)"):
            open_shards(bare.glob)
        shards = open_shards(bare.glob, shape=(2, 3, 3), classes=30)
        assert len(shards) == 37
        assert shards.layout == bare.layout
        image, labels = shards[20]
        assert (image == bare.images[20]).all()
        assert labels == bare.labels[20].tolist()

    def test_a_wrong_shape_is_refused(self, bare: Made) -> None:
        with pytest.raises(OptionError, match="have 27 bytes"):
            open_shards(bare.glob, shape=(3, 3, 3))

    def test_a_cut_shard_is_named(self, bare: Made) -> None:
        bare.shard(2).write_bytes(bare.shard(2).read_bytes()[:-1])
        with pytest.raises(DatasetError, match=f"{bare.shard(2)} has .* no multiple"):
            open_shards(bare.glob, shape=(2, 3, 3))

    def test_names_that_count_differently_are_refused(self, bare: Made) -> None:
        shutil.copy(bare.shard(0), bare.folder / "train-00000-of-00002.tfrecord")
        with pytest.raises(DatasetError, match="speak of 2 and of 5 shards"):
            open_shards(bare.glob, shape=(2, 3, 3))

    def test_what_is_no_tfrecord_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "a.tfrecord").write_bytes(b"not at all a record" * 10)
        with pytest.raises(Exception, match="this is no TFRecord file"):
            open_shards(f"{tmp_path}/*.tfrecord", shape=(2, 3, 3))


def test_options_that_the_manifest_answers_are_refused(made: Made) -> None:
    with pytest.raises(OptionError, match="leave out "):
        open_shards(made.glob, shape=(2, 3, 3))


@pytest.mark.parametrize("source", [None, 5, [None], [["a"]], {1: 2}])
def test_what_names_no_shards_is_refused(source: Any) -> None:
    with pytest.raises(OptionError, match="shards are named by a path, a glob or a URL"):
        open_shards(source)
