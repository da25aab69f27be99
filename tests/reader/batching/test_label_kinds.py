"""Labels that are vectors or floats, and streams that read some heads only."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from reader import ShardSet, open_shards
from reader.commands.cli import main
from reader.commands.describe import info
from reader.commands.verification import verify
from reader.opening.sound_parts import SoundParts
from shardio.errors import DatasetError, OptionError
from shardio.format.framing import frame_footer
from shardio.format.index import ShardIndex
from shardio.format.label import floats_of
from shardio.format.layout import RecordLayout
from shardio.format.naming import INDEX_SUFFIX
from tests.reader.datasets import CLASSES, OTHER_KINDS, Made, write_dataset

NAMES = ("y0", "y1", "ids", "score", "box")


@pytest.fixture
def kinds(tmp_path: Path) -> Made:
    return write_dataset(tmp_path / "kinds", more=OTHER_KINDS)


def expected(made: Made) -> dict[str, NDArray[Any]]:
    """The labels by name, of all records in their order."""
    numbers = made.labels
    return {
        "y0": numbers[:, 0].astype(np.int32),
        "y1": numbers[:, 1].astype(np.int32),
        "ids": numbers[:, 2:5].astype(np.int32),
        "score": floats_of(numbers[:, 5]),
        "box": floats_of(numbers[:, 6:]),
    }


@pytest.mark.filterwarnings("ignore:shardio's compiled code is missing:RuntimeWarning")
@pytest.mark.parametrize("core", [True, False])
@pytest.mark.parametrize("shuffle", ["none", "exact", "window"])
def test_batches_hold_every_kind(
    kinds: Made, core: bool, shuffle: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not core:
        monkeypatch.setattr("reader.core.compiled.core", None)
    whole, seen = expected(kinds), []
    shards = open_shards(kinds.glob)
    options: dict[str, Any] = {"shuffle": shuffle, "rows": True, "as_dict": True}
    for batch in shards.batches(5, drop_remainder=False, **options):
        at = [kinds.rows.tolist().index(row) for row in batch["row"].tolist()]
        seen += at
        for name in NAMES:
            assert batch[name].dtype == whole[name].dtype
            assert np.array_equal(batch[name], whole[name][at])
    assert sorted(seen) == list(range(37))
    if shuffle == "none":
        assert seen == sorted(seen)


def test_records_and_padded_batches_hold_every_kind(kinds: Made) -> None:
    shards = open_shards(kinds.glob)
    for number in (0, 36):
        image, labels = shards[number]
        assert np.array_equal(image, kinds.images[number])
        assert [type(label) for label in labels] == [int, int, np.ndarray, float, np.ndarray]
        for label, whole in zip(labels, expected(kinds).values(), strict=True):
            assert np.array_equal(label, whole[number])
    *_, (_, labels, weights) = shards.batches(10, pad=True)
    assert [label.shape for label in labels] == [(10,), (10,), (10, 3), (10,), (10, 4)]
    assert not any(label[weights == 0].any() for label in labels)


def test_without_a_manifest_kinds_are_those_of_the_first_record(kinds: Made) -> None:
    described = open_shards(kinds.glob)
    (kinds.folder / "dataset.json").unlink()
    bare = open_shards(kinds.glob, shape=(2, 3, 3), classes=(*CLASSES, 9))
    assert bare.labels == described.labels
    assert bare.layout == described.layout
    assert [label.classes for label in open_shards(kinds.glob, shape=(2, 3, 3)).labels] == [0] * 5
    with pytest.raises(OptionError, match="one for each of 3 heads of integers"):
        open_shards(kinds.glob, shape=(2, 3, 3), classes=(*CLASSES, 9, 1, 1))


def test_info_and_verify_know_every_kind(kinds: Made, capsys: pytest.CaptureFixture[str]) -> None:
    shards = open_shards(kinds.glob)
    assert [line[10:] for line in info(shards) if line.startswith("label")] == [
        "y0: 7 classes",
        "y1: 30 classes",
        "ids: 3 integers, 9 classes",
        "score: float",
        "box: 4 floats",
    ]
    assert "ids: 3 integers, 9 classes, score: float, box: 4 floats>" in repr(shards)
    assert verify(SoundParts.of(shards), lambda count: None).faults == []
    assert main(["verify", str(kinds.folder)]) == 0
    assert "37 records" in capsys.readouterr().out


def change(made: Made, number: int, value: int) -> None:
    """Change a number of record 3 of the last shard, whose CRC agrees with it afterwards."""
    path, layout = made.shard(4), made.layout
    data = bytearray(path.read_bytes())
    end = 4 * layout.stride
    at = end - 4 - layout.tail_bytes + layout.number_offsets[number]
    if layout.number_bytes[number] == 4:
        data[at : at + 4] = value.to_bytes(4, "little")
    else:
        data[at : at + 5] = [value >> shift & 0x7F | 0x80 for shift in (0, 7, 14, 21)] + [0]
    data[end - 4 : end] = frame_footer(bytes(data[end - layout.stride + 12 : end - 4]))
    path.write_bytes(data)
    (made.folder / "dataset.json").unlink()


BAD = {
    "a vector's value": (3, 9, "label ids is 9 at 1, but it has 9 classes"),
    "infinity": (5, 0x7F80_0000, "label score is inf, but floats have to be finite"),
    "NaN": (9, 0xFFC0_0000, "label box is nan at 3, but floats have to be finite"),
}


@pytest.mark.parametrize(("number", "value", "said"), BAD.values(), ids=BAD.keys())
def test_a_value_that_cannot_be_is_named_with_its_record(
    kinds: Made, number: int, value: int, said: str
) -> None:
    change(kinds, number, value)
    shards = open_shards(kinds.glob, shape=(2, 3, 3), classes=(*CLASSES, 9))
    place, row = f"{kinds.shard(4)}: record 3", kinds.rows[17]
    with pytest.raises(DatasetError, match=f"{place}, row {row}: {said}"):
        list(shards.batches(4, drop_remainder=False))
    with pytest.raises(DatasetError, match=f"{place}: {said}"):
        shards[17]
    (fault,) = verify(SoundParts.of(shards), lambda count: None).faults
    assert fault.reason == f"{place}: {said}"


def encoded(made: Made) -> ShardSet:
    """The same set, with its images as PNG files."""
    names, kinds = made.layout.labels, made.layout.kinds
    tails = made.layout.tails(made.labels, made.rows)
    entries, start = [], 0
    for shard in made.manifest.shards:
        records = []
        for at in range(start, start + shard.records):
            file = BytesIO()
            Image.fromarray(made.images[at]).save(file, "PNG")
            layout = RecordLayout(len(file.getvalue()), names, kinds)
            data = layout.prefix + file.getvalue() + tails[at].tobytes()
            records.append(layout.head[:12] + data + frame_footer(data))
        start += shard.records
        whole = b"".join(records)
        (made.folder / shard.file).write_bytes(whole)
        index = ShardIndex.of_offsets(np.cumsum([0, *map(len, records)], dtype=np.int64))
        (made.folder / (shard.file + INDEX_SUFFIX)).write_bytes(index.to_text())
        crcs: list[int | None] = [int.from_bytes(record[-4:], "little") for record in records]
        crcs = crcs or [None]
        digest = hashlib.sha256(whole).hexdigest()
        entries.append(
            replace(shard, bytes=len(whole), sha256=digest, first_crc=crcs[0], last_crc=crcs[-1])
        )
    manifest = replace(made.manifest, encoding="png", shards=tuple(entries))
    (made.folder / "dataset.json").write_bytes(manifest.to_json())
    return open_shards(made.folder)


def test_sets_of_encoded_images_hold_every_kind(kinds: Made) -> None:
    shards = encoded(kinds)
    whole = expected(kinds)
    (batch,) = shards.batches(37, shuffle="none", dtype="uint8", as_dict=True)
    assert np.array_equal(batch["image"], kinds.images)
    for name in NAMES:
        assert batch[name].dtype == whole[name].dtype
        assert np.array_equal(batch[name], whole[name])
    image, labels = shards[20]
    assert np.array_equal(image, kinds.images[20])
    assert np.array_equal(labels[4], whole["box"][20])
    assert verify(SoundParts.of(shards), lambda count: None).faults == []


def test_one_hot_is_for_classes_and_leaves_others_as_they_are(kinds: Made) -> None:
    shards, whole = open_shards(kinds.glob), expected(kinds)
    for batch in shards.batches(5, one_hot=True, shuffle="none", as_dict=True, rows=True):
        at = [kinds.rows.tolist().index(row) for row in batch["row"].tolist()]
        for name, classes in zip(NAMES, CLASSES, strict=False):
            assert np.array_equal(batch[name], np.eye(classes, dtype=np.float32)[whole[name][at]])
        for name in NAMES[2:]:
            assert np.array_equal(batch[name], whole[name][at])
    with pytest.raises(OptionError, match="one_hot is for labels of one integer, and ids is 3"):
        shards.batches(4, one_hot=True, labels=["ids", "box"])


def test_labels_names_the_heads_that_are_read(kinds: Made) -> None:
    shards, whole = open_shards(kinds.glob), expected(kinds)
    for names in (["box"], ["score", "y1", "ids"], list(NAMES), ["y1", "y0"], []):
        (batch,) = shards.batches(37, shuffle="none", labels=names)
        ys = batch[1] if len(names) > 1 else batch[1:]
        assert len(ys) == len(names)
        for name, y in zip(names, ys, strict=True):
            assert y.dtype == whole[name].dtype
            assert np.array_equal(y, whole[name])
    (batch,) = shards.batches(37, shuffle="none", labels=("ids", "y0"), as_dict=True, rows=True)
    assert list(batch) == ["image", "ids", "y0", "row"]
    assert np.array_equal(batch["row"], kinds.rows)
    plans = [shards.batches(4, labels=names).memory for names in (None, ["y0"])]
    assert plans[0].parts["labels"] > plans[1].parts["labels"]


NO_NAMES: dict[str, tuple[Any, str]] = {
    "near": (["scor"], "the set has no label 'scor'; did you mean 'score'?"),
    "far": (["y0", "zz"], "the set has no label 'zz'; it has y0, y1, ids, score, box"),
    "twice": (["y0", "y1", "y0"], "labels names 'y0' twice"),
    "text": ("y0", r"labels must be a list of names, such as \['y0'\], not 'y0'"),
    "number": (0, "labels must be a list of names"),
    "numbers": ([0, 1], r'such as \["y0"\], not \[0, 1\]'),
}


@pytest.mark.parametrize(("names", "said"), NO_NAMES.values(), ids=NO_NAMES.keys())
def test_names_that_no_head_has_are_refused(kinds: Made, names: Any, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        open_shards(kinds.glob).batches(4, labels=names)


@pytest.mark.parametrize("shuffle", ["none", "exact", "window"])
def test_a_stream_goes_on_with_other_heads(kinds: Made, shuffle: str) -> None:
    shards = open_shards(kinds.glob)
    options: dict[str, Any] = {"shuffle": shuffle, "rows": True}
    whole = list(shards.batches(3, labels=["box"], **options))
    for step in range(len(whole)):
        first = shards.batches(3, labels=["y0"], **options)
        for _ in range(step):
            next(first)
        again = shards.batches(3, labels=["box"], **options)
        again.load_state_dict(first.state_dict())
        x, box, rows = next(again)
        assert np.array_equal(x, whole[step][0])
        assert np.array_equal(box, whole[step][1])
        assert np.array_equal(rows, whole[step][2])


def test_a_head_that_is_not_read_is_not_compared_with_its_classes(kinds: Made) -> None:
    change(kinds, 3, 9)
    shards = open_shards(kinds.glob, shape=(2, 3, 3), classes=(*CLASSES, 9))
    (batch,) = shards.batches(37, shuffle="none", labels=["score"])
    assert np.array_equal(batch[1], expected(kinds)["score"])


def test_the_memory_of_long_vectors_is_planned(tmp_path: Path) -> None:
    few = open_shards(write_dataset(tmp_path / "few").glob)
    many = open_shards(write_dataset(tmp_path / "many", more=(OTHER_KINDS[0],) * 1).glob)
    plans = [shards.batches(4, shuffle="window").memory for shards in (few, many)]
    assert plans[1].total > plans[0].total
