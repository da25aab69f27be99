"""Shards as other tools write them: names, kinds of labels, images of many sizes and modes."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from reader import open_shards
from reader.commands.cli import main
from reader.opening.find import find_shards
from shardio.errors import DatasetError, MissingFileError, OptionError, UnsupportedRecordError
from shardio.examples.other_messages import other_message
from tests.reader.foreign_files import encode, example, photos, write_records

SIZES = ((20, 40), (41, 23), (64, 64), (7, 90))


def of_size(number: int, height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)


def shown(path: Path, **options: Any) -> list[NDArray[Any]]:
    shards = open_shards(path, **options)
    return [shards[number][0] for number in range(len(shards))]


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP"])
@pytest.mark.parametrize("crop", [None, "center"])
def test_images_of_many_sizes_are_resized_as_pillow_does(
    tmp_path: Path, kind: str, crop: Any
) -> None:
    files = [encode(of_size(n, *size), kind) for n, size in enumerate(SIZES)]
    write_records(tmp_path / "a", [example(image=data, label=n) for n, data in enumerate(files)])
    found = shown(tmp_path / "a", size=(24, 32), crop=crop)
    for image, data in zip(found, files, strict=True):
        opened = Image.open(io.BytesIO(data)).convert("RGB")
        bicubic = Image.Resampling.BICUBIC
        if crop:
            scale = max(32 / opened.width, 24 / opened.height)
            whole = int(opened.width * scale + 1e-9), int(opened.height * scale + 1e-9)
            left, top = round((whole[0] - 32) / 2), round((whole[1] - 24) / 2)
            wanted = opened.resize(whole, bicubic).crop((left, top, left + 32, top + 24))
        else:
            wanted = opened.resize((32, 24), bicubic)
        assert np.array_equal(image, np.asarray(wanted))
    batches = list(open_shards(tmp_path / "a", size=(24, 32), crop=crop).batches(2, shuffle="none"))
    assert [batch[1].tolist() for batch in batches] == [[0, 1], [2, 3]]


def test_without_a_size_the_way_out_is_named(tmp_path: Path) -> None:
    images = [encode(of_size(n, *size), "PNG") for n, size in enumerate(SIZES)]
    write_records(tmp_path / "a", [example(image=data, label=1) for data in images])
    with pytest.raises(UnsupportedRecordError, match=r"give open_shards size=\(height, width\)"):
        list(open_shards(tmp_path / "a").batches(4))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_raw_pixels_of_any_channels(tmp_path: Path, channels: int) -> None:
    images = np.random.default_rng(1).integers(0, 256, (5, 6, 7, channels), dtype=np.uint8)
    write_records(tmp_path / "a", [example(image_raw=x.tobytes(), label=1) for x in images])
    assert np.array_equal(shown(tmp_path / "a", shape=(6, 7, channels)), images)


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGBA", 4), ("RGB", 1), ("L", 3)])
def test_encoded_images_of_any_channels(tmp_path: Path, mode: str, channels: int) -> None:
    images = [Image.fromarray(photo).convert(mode) for photo in photos(3)]
    files = []
    for image in images:
        file = io.BytesIO()
        image.save(file, "PNG")
        files.append(file.getvalue())
    write_records(tmp_path / "a", [example(image=data, label=1) for data in files])
    height, width = images[0].size[::-1]
    found = shown(tmp_path / "a", shape=(height, width, channels))
    into = {1: "L", 3: "RGB", 4: "RGBA"}[channels]
    for image, got in zip(images, found, strict=True):
        wanted = np.asarray(image.convert(into)).reshape(height, width, channels)
        assert np.array_equal(got, wanted)


def test_lists_and_floats_are_labels_of_their_kind(tmp_path: Path) -> None:
    image = encode(photos(1)[0], "PNG")
    rows = [
        example(image=image, label=[1, 2, n], score=[n / 2], box=[0.5, 1.5, float(n)])
        for n in range(4)
    ]
    write_records(tmp_path / "a", rows)
    shards = open_shards(tmp_path / "a", labels=["label"])
    assert str(shards.labels[0]) == "3 integers, number of classes not known"
    assert shards[3][1].tolist() == [1, 2, 3]
    shards = open_shards(tmp_path / "a", labels=["score", "box", "label"])
    score, box, label = shards[3][1]
    assert score == 1.5
    assert box.tolist() == [0.5, 1.5, 3.0]
    assert label.tolist() == [1, 2, 3]
    write_records(tmp_path / "b", [*rows, example(image=image, label=[1, 2])])
    with pytest.raises(UnsupportedRecordError, match="'label' must be 3 integers, not 2 x int64"):
        list(open_shards(tmp_path / "b", labels=["label"]).batches(5))


def test_labels_that_are_not_there(tmp_path: Path) -> None:
    image = encode(photos(1)[0], "PNG")
    records = [example(image=image, label=4), example(image=image), example(image=image, label=-1)]
    write_records(tmp_path / "a", records)
    with pytest.raises(UnsupportedRecordError, match="'label' must be one integer, not missing"):
        open_shards(tmp_path / "a")[1]
    shards = open_shards(tmp_path / "a", missing=9)
    assert [shards[number][1] for number in range(3)] == [4, 9, 9]
    assert shards.fingerprint != open_shards(tmp_path / "a", missing=8).fingerprint
    write_records(tmp_path / "b", records[::-1])
    assert open_shards(tmp_path / "b", labels=["label"], missing=0)[0][1] == 0
    records.append(example(image=image, label=[]))
    records.append(example(image=image, label=-1.0))
    write_records(tmp_path / "c", records)
    shards = open_shards(tmp_path / "c", missing=9)
    assert shards[3][1] == 9
    with pytest.raises(UnsupportedRecordError, match="'label' must be one integer, not float"):
        shards[4]
    with pytest.raises(OptionError, match="the first record has no 'lable'"):
        open_shards(tmp_path / "a", labels=["lable"], missing=0)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"missing": -1}, "missing must be a class, 0 to 2147483647, not -1"),
        ({"missing": "x"}, "missing a class"),
        ({"size": (0, 3)}, r"size must be \(height, width\), 1 to 65535 each"),
        ({"size": 224}, r"size must be \(height, width\)"),
        ({"crop": "center"}, r'crop="center" .* goes with size'),
        ({"crop": "left", "size": (2, 2)}, 'crop must be "center", not'),
        (
            {"labels": ["name"]},
            r"'name' holds bytes: labels=\{'name': \['cat', 'dog'\]\} lists the texts",
        ),
    ],
)
def test_options_that_cannot_be_are_refused(
    tmp_path: Path, options: dict[str, Any], words: str
) -> None:
    image = encode(photos(1)[0], "PNG")
    write_records(tmp_path / "a", [example(image=image, label=4, name=b"cat")])
    with pytest.raises(OptionError, match=words):
        open_shards(tmp_path / "a", **options)


def test_other_messages_of_tensorflow_are_refused_by_name(tmp_path: Path) -> None:
    image = encode(photos(1)[0], "PNG")
    context = tf.train.Example.FromString(example(image=image, label=1)).features
    lists = tf.train.FeatureLists(feature_list={"frames": tf.train.FeatureList()})
    sequence = tf.train.SequenceExample(context=context, feature_lists=lists).SerializeToString()
    tensor = tf.io.serialize_tensor(tf.zeros((4, 5, 3), tf.uint8)).numpy()
    for name, record, words in (
        ("a", sequence, "record 0 is a tf.train.SequenceExample, and records of a set are"),
        ("b", tensor, "record 0 is a tensor of tf.io.serialize_tensor, and"),
    ):
        write_records(tmp_path / name, [record])
        with pytest.raises(UnsupportedRecordError, match=words):
            open_shards(tmp_path / name)
    write_records(tmp_path / "c", [example(image=tensor, label=1)])
    for shape in (None, (4, 5, 3)):
        with pytest.raises(OptionError, match="'image' holds a tensor of tf"):
            open_shards(tmp_path / "c", shape=shape)


@settings(deadline=None)
@given(st.binary(max_size=60), st.integers(0, 9), st.booleans())
def test_an_example_is_never_taken_for_another_message(
    image: bytes, label: int, lists: bool
) -> None:
    assert other_message(example(image=image, label=[label] * (1 + 3 * lists), text=b"x")) == ""


def calls_of(work: Callable[[], object]) -> int:
    """Count the functions of Python and C that some work calls."""
    calls = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return calls


class TestFolders:
    def write(self, path: Path, label: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_records(path, [example(image=encode(photos(1)[0], "PNG"), label=label)])

    def test_names_of_tensorflow_datasets(self, tmp_path: Path) -> None:
        for split, count in (("train", 3), ("test", 1)):
            for n in range(count):
                name = f"my-mnist-{split}.tfrecord-{n:05d}-of-{count:05d}"
                self.write(tmp_path / name, n)
        (tmp_path / "dataset_info.json").write_text("{}")
        assert len(open_shards(tmp_path, "train")) == 3
        assert len(open_shards(tmp_path, "*")) == 4
        with pytest.raises(OptionError, match="has the splits test, train; choose one"):
            open_shards(tmp_path)
        (tmp_path / "my-mnist-train.tfrecord-00001-of-00003").unlink()
        with pytest.raises(DatasetError, match="lacks shard 1 of the 3 of split train"):
            open_shards(tmp_path, "train")

    @pytest.mark.parametrize(
        "name", ["train-{:05d}-of-{:05d}.tfrecord", "a-train.x-{:05d}-of-{:05d}"]
    )
    def test_finding_takes_each_file_a_few_times(self, tmp_path: Path, name: str) -> None:
        """Calls grow as the number of shards does, and not as its square."""
        calls = []
        for count in (40, 160):
            folder = tmp_path / str(count)
            folder.mkdir()
            for number in range(count):
                (folder / name.format(number, count)).touch()
            calls.append(calls_of(partial(find_shards, folder, None)))
        assert calls[1] < 5 * calls[0]

    def test_other_names_are_told(self, tmp_path: Path) -> None:
        self.write(tmp_path / "some.tfrecord", 1)
        with pytest.raises(MissingFileError, match="their names are like train-00000-of-00001"):
            open_shards(tmp_path)

    @pytest.mark.parametrize("folder", ["a[1]", "[x", "b]c", "a*b", "q?"])
    def test_names_that_look_like_globs(self, tmp_path: Path, folder: str) -> None:
        self.write(tmp_path / folder / "train-00000-of-00001.tfrecord", 5)
        self.write(tmp_path / "a1" / "train-00000-of-00001.tfrecord", 6)
        sources: list[Callable[[Path], Any]] = [
            lambda path: path,
            lambda path: path / "train-00000-of-00001.tfrecord",
        ]
        if "[" in folder:
            sources.append(lambda path: f"{path}/train-*.tfrecord")
        for source in sources:
            if folder == "a[1]" and str(source(Path("x"))).endswith("*.tfrecord"):
                continue  # which names the folder a1, too
            assert open_shards(source(tmp_path / folder))[0][1] == 5

    def test_the_home_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        self.write(tmp_path / "set" / "train-00000-of-00001.tfrecord", 5)
        assert open_shards("~/set")[0][1] == 5
        assert open_shards("~/set/*")[0][1] == 5


def test_the_commands_take_the_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [encode(of_size(n, *size), "PNG") for n, size in enumerate(SIZES)]
    write_records(tmp_path / "a", [example(image=files[0], label=1), example(image=files[1])])
    options = ["--size", "8x12", "--crop", "center", "--missing", "3"]
    assert main(["info", str(tmp_path / "a"), *options]) == 0
    assert "images    12x8 RGB" in capsys.readouterr().out
    assert main(["verify", str(tmp_path / "a"), *options]) == 0
    assert main(["verify", str(tmp_path / "a")]) == 1
