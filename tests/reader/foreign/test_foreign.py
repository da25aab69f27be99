"""Shards that others wrote; TensorFlow and Pillow are the judges."""

from __future__ import annotations

import copy
import io
import os
import pickle
import re
import warnings
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from reader import open_shards
from reader.batching.options import Dtype, OnError, Shuffle
from reader.commands.cli import main
from reader.shardset import ShardSet
from shardio.errors import (
    CorruptRecordError,
    DatasetError,
    OptionError,
    UnsupportedRecordError,
)
from tests.reader.foreign_files import (
    SHAPE,
    STARTS,
    Foreign,
    decoded,
    encode,
    example,
    photos,
    tf,
    write_records,
)

FIXTURE = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30
)


@pytest.fixture(scope="module", params=["JPEG", "JPEG in threads", "PNG", "WEBP", "raw"])
def any_kind(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Foreign]:
    kind, _, threads = request.param.partition(" ")
    with pytest.MonkeyPatch.context() as patch:
        if threads:
            decode_in_threads(patch)
        yield Foreign(tmp_path_factory.mktemp("foreign"), kind)


@pytest.fixture
def jpegs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Foreign:
    decode_in_threads(monkeypatch)
    return Foreign(tmp_path / "jpegs")


def decode_in_threads(patch: pytest.MonkeyPatch) -> None:
    """Let threads decode images that are too small to be worth it."""
    patch.setattr("reader.foreign.indexed_fetch._THREADED_BYTES", 0)
    patch.setattr("reader.foreign.indexed_fetch.DECODERS", 4)


def opened(foreign: Foreign, **options: Any) -> ShardSet:
    return open_shards(foreign.glob, shape=SHAPE, classes=1000, **options)


def test_records_come_as_they_were_written(any_kind: Foreign) -> None:
    shards = opened(any_kind)
    assert len(shards) == 37
    assert shards.shape == SHAPE
    assert shards.classes == (1000,)
    for index in (0, 4, 5, 12, 13, 14, 36, -1):
        image, label = shards[index]
        assert (image == any_kind.images[index]).all()
        assert label == any_kind.labels[index]


def test_tensorflow_reads_the_same(any_kind: Foreign) -> None:
    spec = {
        "image/encoded": tf.io.FixedLenFeature([], tf.string),
        "image/class/label": tf.io.FixedLenFeature([], tf.int64),
    }
    paths = [str(any_kind.shard(index)) for index in range(5)]
    records = list(tf.data.TFRecordDataset(paths).as_numpy_iterator())
    parsed = tf.io.parse_example(records, spec)
    x, y, rows = next(opened(any_kind).batches(37, shuffle="none", dtype="uint8", rows=True))
    assert y.tolist() == parsed["image/class/label"].numpy().tolist()
    assert rows.tolist() == list(range(37))
    for image, data in zip(x, parsed["image/encoded"].numpy(), strict=True):
        if any_kind.kind == "raw":
            judged = tf.reshape(tf.io.decode_raw(data, tf.uint8), SHAPE)
        elif any_kind.kind == "WEBP":
            judged = decoded(data)
        else:
            # The same method as Pillow's; TensorFlow's own default is a quicker, coarser one.
            judged = (
                tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE")
                if any_kind.kind == "JPEG"
                else tf.io.decode_png(data, channels=3)
            )
        assert (image == np.asarray(judged)).all()


@pytest.mark.parametrize("shuffle", ["exact", "window", "none"])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_every_order_gives_every_record_once(
    any_kind: Foreign, shuffle: Shuffle, dtype: Dtype
) -> None:
    small: dict[str, Any] = {"block": 3, "window": 2} if shuffle == "window" else {}
    batches = opened(any_kind).batches(
        8, shuffle=shuffle, dtype=dtype, rows=True, drop_remainder=False, **small
    )
    seen: list[int] = []
    for x, y, rows in batches:
        wanted = any_kind.images[rows]
        assert (x == (wanted if dtype == "uint8" else wanted / np.float32(255))).all()
        assert (y == any_kind.labels[rows]).all()
        seen += rows.tolist()
    assert sorted(seen) == list(range(37))
    assert (seen == list(range(37))) == (shuffle == "none")


@FIXTURE
@given(st.lists(st.integers(0, 36), min_size=1, max_size=60), st.booleans())
def test_any_records_in_any_order(any_kind: Foreign, ids: list[int], verify: bool) -> None:
    source = opened(any_kind).source(verify=verify)
    images = np.zeros((60, np.prod(SHAPE)), dtype=np.uint8)
    integers = source.fetch(np.array(ids), images)
    assert (images[: len(ids)].reshape(-1, *SHAPE) == any_kind.images[ids]).all()
    assert integers.tolist() == [[any_kind.labels[i], i] for i in ids]
    source.advise(np.array(ids))


@FIXTURE
@given(st.integers(0, 36), st.data())
def test_neighbours_are_read_straight_into_place(any_kind: Foreign, first: int, data: Any) -> None:
    count = data.draw(st.integers(1, 37 - first))
    memory = opened(any_kind).source(verify=True).block_memory(40)
    memory.fill(3, first, count)
    pixels = np.zeros((count, np.prod(SHAPE)), dtype=np.uint8)
    ids = np.arange(first, first + count)
    integers = memory.gather(3 + np.arange(count), ids, pixels)
    assert (pixels.reshape(-1, *SHAPE) == any_kind.images[first : first + count]).all()
    assert integers[:, 1].tolist() == list(range(first, first + count))


def test_a_stream_goes_on_from_its_state_and_two_workers_share_it(jpegs: Foreign) -> None:
    shards = opened(jpegs)
    options: dict[str, Any] = {"shuffle": "exact", "rows": True}
    whole = [rows.tolist() for *_, rows in shards.batches(4, epochs=2, **options)]
    stream = shards.batches(4, epochs=2, **options)
    for _ in range(3):
        next(stream)
    again = opened(jpegs).batches(4, epochs=2, **options)
    again.load_state_dict(stream.state_dict())
    assert [rows.tolist() for *_, rows in again] == whole[3:]
    parts = [
        [rows.tolist() for *_, rows in shards.batches(2, epochs=2, worker=(rank, 2), **options)]
        for rank in (0, 1)
    ]
    assert [a + b for a, b in zip(*parts, strict=True)] == whole


def test_a_padded_batch_and_one_hot_labels(jpegs: Foreign) -> None:
    *_, (x, y, weights) = opened(jpegs).batches(8, shuffle="none", pad=True, one_hot=True)
    assert weights.tolist() == [np.float32(40 / 37)] * 5 + [0] * 3
    assert (x[5:] == 0).all()
    assert y.argmax(axis=1)[:5].tolist() == jpegs.labels[32:].tolist()


def test_the_other_ways_out_give_the_same(jpegs: Foreign) -> None:
    torch = pytest.importorskip("torch")
    shards = opened(jpegs)
    options: dict[str, Any] = {"shuffle": "exact", "dtype": "uint8"}
    wanted = list(shards.batches(8, **options))
    by_tf = list(shards.to_tf_dataset(8, **options).as_numpy_iterator())
    by_torch = [(x.numpy(), y.numpy()) for x, y in shards.to_torch(8, **options)]
    keras = shards.to_keras(8, **options)
    by_keras = [keras[i] for i in range(len(keras))]
    loader = torch.utils.data.DataLoader(
        shards.to_torch(8, **options), batch_size=None, num_workers=2
    )
    by_loader = [(x.numpy(), y.numpy()) for x, y in loader]
    for found in (by_tf, by_torch, by_keras, by_loader):
        assert len(found) == len(wanted)
        for (x, y), (wanted_x, wanted_y) in zip(found, wanted, strict=True):
            assert (x == wanted_x).all()
            assert (y == wanted_y).all()


def test_a_copy_and_a_forked_process_read_too(jpegs: Foreign) -> None:
    shards = opened(jpegs)
    list(shards.batches(8))
    for copied in (copy.deepcopy(shards), pickle.loads(pickle.dumps(shards))):
        assert (copied[20][0] == jpegs.images[20]).all()
    source = shards.source(verify=True)
    images = np.zeros((37, np.prod(SHAPE)), dtype=np.uint8)
    source.fetch(np.arange(37), images)
    child = os.fork()
    if child == 0:  # the threads of the parent are not here
        source.fetch(np.arange(37), images)
        os._exit(0 if (images.reshape(-1, *SHAPE) == jpegs.images).all() else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_a_set_in_memory_is_read_like_one_on_disk(jpegs: Foreign) -> None:
    memory = fsspec.filesystem("memory")
    memory.put(str(jpegs.folder), "memory://foreign", recursive=True)
    for _ in range(2):
        shards = open_shards("memory://foreign/foreign-*")
        assert (shards[20][0] == jpegs.images[20]).all()
        assert not memory.exists("memory://foreign/foreign-2.tfrecord.idx")


def test_the_shape_of_encoded_images_is_that_of_the_first(jpegs: Foreign) -> None:
    assert open_shards(jpegs.glob).shape == SHAPE
    with pytest.raises(OptionError, match=r"are 24x40 \(height x width\), not \(40, 24, 3\)"):
        open_shards(jpegs.glob, shape=(40, 24, 3))


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1", "I;16", "CMYK"])
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    grey = np.arange(0, 60000, 500, dtype=np.uint16).reshape(10, 12)
    image = Image.fromarray(grey) if mode == "I;16" else Image.fromarray(photos(1)[0]).convert(mode)
    out = io.BytesIO()
    image.save(out, "JPEG" if mode == "CMYK" else "PNG")
    write_records(tmp_path / "a", [example(image=out.getvalue())])
    (found,) = open_shards(tmp_path / "a", labels=[])[0]
    if mode == "I;16":
        assert (found == (grey >> 8)[:, :, None]).all()
        assert (found == tf.io.decode_png(out.getvalue(), channels=3).numpy()).all()
    else:
        assert (found == decoded(out.getvalue())).all()


def test_raw_images_need_their_shape(tmp_path: Path) -> None:
    image = photos(1)[0]
    write_records(tmp_path / "a", [example(image_raw=image.tobytes(), label=3)])
    with pytest.raises(OptionError, match=r"2880 bytes and is no PNG, .* shape=\(height, width"):
        open_shards(tmp_path / "a")
    with pytest.raises(OptionError, match="have 27 bytes, feature 'image_raw' has 2880"):
        open_shards(tmp_path / "a", shape=(3, 3, 3))
    assert (open_shards(tmp_path / "a", shape=SHAPE)[0][0] == image).all()


def test_pixels_that_begin_like_a_jpeg_are_pixels(tmp_path: Path) -> None:
    image = photos(1)[0].copy()
    image[0, 0] = 0xFF, 0xD8, 0xFF
    write_records(tmp_path / "a", [example(image=image.tobytes())])
    assert (open_shards(tmp_path / "a", shape=SHAPE, labels=[])[0][0] == image).all()


def test_a_file_that_is_as_long_as_its_pixels_is_a_file(tmp_path: Path) -> None:
    image = np.zeros(SHAPE, dtype=np.uint8)
    file = encode(image + 7, "PNG")
    write_records(tmp_path / "a", [example(image=file + bytes(image.size - len(file)))])
    assert (open_shards(tmp_path / "a", shape=SHAPE, labels=[])[0][0] == 7).all()


def test_our_own_shards_can_be_read_by_their_features(tmp_path: Path) -> None:
    from tests.reader.datasets import write_dataset

    made = write_dataset(tmp_path)
    (tmp_path / "dataset.json").unlink()
    shards = open_shards(made.glob, shape=(2, 3, 3), labels=["y1"])
    assert [label.name for label in shards.labels] == ["y1"]
    x, y = next(shards.batches(37, shuffle="none", dtype="uint8"))
    assert (x == made.images).all()
    assert (y == made.labels[:, 1]).all()


class TestWhatDoesNotFit:
    """A record that cannot be used is named; with on_error="skip" damage is counted and replaced.

    What is whole, but of a kind that is not read, is no damage and never replaced.
    """

    @pytest.fixture(autouse=True, params=["here", "in threads"])
    def decoding(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
        if request.param == "in threads":
            decode_in_threads(monkeypatch)

    DAMAGED: tuple[tuple[str, Any, str], ...] = (
        (
            "image that is cut",
            lambda data: {"image": data[: len(data) // 3]},
            "its image cannot be decoded",
        ),
        (
            "image that is none",
            lambda data: {"image": b"no image at all"},
            "its image is none of PNG, JPEG, WEBP",
        ),
    )
    UNSUPPORTED: tuple[tuple[str, Any, str], ...] = (
        (
            "image of another size",
            lambda data: {"image": encode(photos(1, (9, 40, 3))[0], "JPEG")},
            "is 9x40, but those of the set are 24x40",
        ),
        (
            "image of another kind",
            lambda data: {"image": encode(photos(1)[0], "TIFF")},
            "is none of PNG, JPEG, WEBP, GIF, BMP, but a TIFF image",
        ),
        ("missing image", lambda data: {"image": None}, "'image' must be one image, not missing"),
        (
            "two images",
            lambda data: {"image": [data, data]},
            "'image' must be one image, not 2 x bytes",
        ),
        ("missing label", lambda data: {"label": None}, "must be one integer, not missing"),
        (
            "negative label",
            lambda data: {"label": -1},
            r"'label' must be 0 to 2147483647, not -1; -1 mostly stands for no label: missing=N "
            r"makes it the class N; labels=\[\]",
        ),
        ("large label", lambda data: {"label": 2**31}, "must be 0 to 2147483647, not 2147483648"),
        ("two labels", lambda data: {"label": [1, 2]}, "must be one integer, not 2 x int64"),
        ("float label", lambda data: {"label": 1.0}, "must be one integer, not float"),
        ("one more label", lambda data: {"y0": 1}, "holds the feature 'y0', which the first"),
        ("one more text", lambda data: {"Target": b"x"}, "holds the feature 'Target', which"),
    )

    @staticmethod
    def write(folder: Path, change: Any) -> tuple[list[bytes], str]:
        """Write nine records, one of them changed; returns the images and how it is named."""
        files = [encode(image, "JPEG") for image in photos(9)]
        features = [{"image": data, "label": n} for n, data in enumerate(files)]
        features[7] |= change(files[7])
        records = [example(**{k: v for k, v in f.items() if v is not None}) for f in features]
        write_records(folder / "a", records[:4])
        write_records(folder / "b", records[4:])
        at = sum(len(record) + 16 for record in records[4:7])
        return files, rf"{folder}/b: record 3 at byte {at}: .*"

    @pytest.mark.parametrize(("change", "words"), [bad[1:] for bad in DAMAGED])
    @pytest.mark.parametrize("shuffle", ["window", "none"])
    def test_it_is_named_and_can_be_skipped(
        self, tmp_path: Path, change: Any, words: str, shuffle: Shuffle
    ) -> None:
        files, place = self.write(tmp_path, change)
        named = place + words
        options: dict[str, Any] = {"block": 3, "window": 1} if shuffle == "window" else {}
        options |= {"shuffle": shuffle, "dtype": "uint8", "rows": True, "drop_remainder": False}
        shards = open_shards(f"{tmp_path}/?")
        with pytest.raises(CorruptRecordError, match=named):
            list(shards.batches(5, **options))
        with pytest.raises(CorruptRecordError, match=named):
            shards[7]
        batches = shards.batches(5, on_error="skip", max_skipped=1, **options)
        seen: list[int] = []
        with pytest.warns(match=named):
            found = list(batches)
        for x, y, rows in found:
            assert (x == np.stack([decoded(files[row]) for row in rows])).all()
            assert (y == rows).all()
            seen += rows.tolist()
        assert set(seen) == set(range(9)) - {7}
        assert batches.skipped == 1
        alone = shards.batches(1, on_error="skip", max_skipped=1, shuffle="none", rows=True)
        with pytest.warns(match=named):
            assert [int(rows[0]) for _, _, rows in alone] == [0, 1, 2, 3, 4, 5, 6, 8, 8]

    @pytest.mark.parametrize(
        ("change", "words"), [bad[1:] for bad in UNSUPPORTED], ids=[bad[0] for bad in UNSUPPORTED]
    )
    @pytest.mark.parametrize("on_error", ["raise", "skip"])
    def test_what_is_whole_is_never_skipped(
        self, tmp_path: Path, change: Any, words: str, on_error: OnError
    ) -> None:
        _, place = self.write(tmp_path, change)
        shards = open_shards(f"{tmp_path}/?")
        for options in ({"shuffle": "exact"}, {"shuffle": "window", "block": 3, "window": 1}):
            for size in (1, 5):
                batches = shards.batches(size, on_error=on_error, drop_remainder=False, **options)
                with warnings.catch_warnings():
                    warnings.simplefilter("error")
                    with pytest.raises(UnsupportedRecordError, match=place + words):
                        list(batches)
                assert batches.skipped == 0

    @pytest.mark.parametrize(
        ("change", "words"), [bad[1:] for bad in UNSUPPORTED], ids=[bad[0] for bad in UNSUPPORTED]
    )
    def test_verify_does_not_call_it_damaged(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Any, words: str
    ) -> None:
        _, place = self.write(tmp_path, change)
        assert main(["verify", f"{tmp_path}/?"]) == 1
        said = capsys.readouterr().err
        assert re.search(place + words, said)
        assert "1 of 2 shards is whole, but with records that cannot be used" in said
        assert "damaged" not in said
        data = bytearray((tmp_path / "b").read_bytes())
        data[-1] ^= 1  # of the record behind it
        (tmp_path / "b").write_bytes(data)
        assert main(["verify", f"{tmp_path}/?"]) == 1
        said = capsys.readouterr().err
        assert f"{tmp_path}/b: record 4 at byte" in said
        assert "1 of 2 shards is damaged" in said

    def test_raw_pixels_of_another_length(self, tmp_path: Path) -> None:
        images = [example(image=photos(1)[0].tobytes()), example(image=b"x" * 30)]
        write_records(tmp_path / "a", images)
        shards = open_shards(tmp_path / "a", shape=SHAPE, labels=[])
        with pytest.raises(UnsupportedRecordError, match=r"record 1 .* has 30 bytes, .* have 2880"):
            list(shards.batches(2, on_error="skip"))

    @pytest.mark.parametrize("shuffle", ["exact", "window", "none"])
    def test_damage_is_named_unless_nobody_looks(self, jpegs: Foreign, shuffle: Shuffle) -> None:
        shards = opened(jpegs)
        at = jpegs.offsets[20]
        data = bytearray(jpegs.shard(4).read_bytes())
        data[at + 12 + len(jpegs.records[20])] ^= 1  # of the stored CRC
        status = os.stat(jpegs.shard(4))
        with open(jpegs.shard(4), "r+b") as file:
            file.write(data)
        os.utime(jpegs.shard(4), ns=(status.st_atime_ns, status.st_mtime_ns))
        named = rf"{jpegs.shard(4)}: record 6 at byte {at}: the CRC of its data is"
        with pytest.raises(CorruptRecordError, match=named):
            list(shards.batches(8, shuffle=shuffle, drop_remainder=False))
        options: dict[str, Any] = {"shuffle": shuffle, "drop_remainder": False}
        batches = shards.batches(8, on_error="skip", max_skipped=1, **options)
        with pytest.warns(match=named):
            list(batches)
        assert batches.skipped == 1
        list(shards.batches(8, shuffle=shuffle, verify=False, drop_remainder=False))

    def test_a_shard_that_is_replaced_or_cut_between_epochs_is_noticed(
        self, jpegs: Foreign
    ) -> None:
        batches = opened(jpegs).batches(5, epochs=None)
        next(batches)
        os.truncate(jpegs.shard(4), 100)
        with pytest.raises(DatasetError, match=r"cut while|replaced or written to since"):
            list(islice(batches, 30))


def test_the_set_is_the_same_only_with_the_same_choice(jpegs: Foreign) -> None:
    choices: list[dict[str, Any]] = [
        {},
        {"labels": []},
        {"labels": ["image/height"]},
        {"labels": ["image/class/label", "image/height"]},
        {"image": "image/class/text", "shape": (1, 3, 3)},
    ]
    records = [example(a=b"x" * 27, b=b"y" * 27, label=1), example(a=b"z" * 27, b=b"y" * 27)]
    write_records(jpegs.folder / "other", records)
    found = [open_shards(jpegs.glob, **choice).fingerprint for choice in choices[:4]]
    found += [
        open_shards(jpegs.folder / "other", image=image, shape=(3, 3, 3)).fingerprint
        for image in ("a", "b")
    ]
    assert len(set(found)) == 6
    assert open_shards(jpegs.glob).fingerprint == found[0]
    assert open_shards(jpegs.glob, labels="image/class/label").fingerprint == found[0]
    state = open_shards(jpegs.glob).batches(5).state_dict()
    with pytest.raises(DatasetError, match="another set"):
        open_shards(jpegs.glob, labels=[]).batches(5).load_state_dict(state)


def test_a_row_in_the_record_is_the_row(jpegs: Foreign) -> None:
    from dataclasses import replace

    from reader.foreign.indexed_records import IndexedRecords
    from reader.foreign.layout import ForeignLayout

    shards = opened(jpegs)
    assert isinstance(shards.layout, ForeignLayout)
    layout = replace(shards.layout, row="image/class/label")
    by_label = replace(shards, kind=IndexedRecords(layout))
    _, _, rows = next(by_label.batches(37, shuffle="none", rows=True))
    assert (rows == jpegs.labels).all()


def test_memory_is_told_with_the_index_and_the_decoders(any_kind: Foreign) -> None:
    plan = opened(any_kind).batches(5).memory
    assert plan.parts["index"] == 4 * (37 + 4)
    assert plan.parts["decoders"] >= 1 << 20


def test_starts_are_those_of_the_shards(jpegs: Foreign) -> None:
    for shard, start in enumerate(STARTS):
        if jpegs.shard(shard).stat().st_size:
            alone = open_shards(jpegs.shard(shard))
            assert (alone[0][0] == jpegs.images[start]).all()
