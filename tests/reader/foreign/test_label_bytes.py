"""Labels that are bytes: texts of classes that are listed, and numbers as they lie in memory."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reader import ShardSet, open_shards
from shardio.errors import OptionError, UnsupportedRecordError
from tests.reader.foreign_files import encode, example, photos, write_records

TEXTS = ["cat", "犬", "a b", "9"]
IMAGE = encode(photos(1)[0], "PNG")
DTYPES = {"uint8": 255, "int16": 2**15 - 1, "int64": 2**31 - 1, ">i4": 2**31 - 1, "float32": 100}
FACES: dict[str, Callable[[ShardSet], Any]] = {
    "NumPy": lambda shards: shards.batches(4, shuffle="none"),
    "TensorFlow": lambda shards: shards.to_tf_dataset(4, shuffle="none").as_numpy_iterator(),
    "Keras": lambda shards: [shards.to_keras(4, shuffle="none")[0]],
    "torch": lambda shards: shards.to_torch(4, shuffle="none"),
}


def write(path: Path, **labels: list[Any]) -> Path:
    rows = zip(*labels.values(), strict=True)
    write_records(
        path, [example(image=IMAGE, **dict(zip(labels, row, strict=True))) for row in rows]
    )
    return path


@pytest.mark.parametrize("face", FACES)
def test_all_faces_read_them(tmp_path: Path, face: str) -> None:
    if face == "torch":
        pytest.importorskip("torch", reason="PyTorch is not installed")
    boxes = np.random.default_rng(1).random((4, 3)).astype(np.float32)
    path = write(
        tmp_path / "a",
        name=[TEXTS[n].encode() for n in (3, 1, 0, 1)],
        box=[box.tobytes() for box in boxes],
        y=[[5], [6], [7], [8]],
    )
    shards = open_shards(path, labels={"name": TEXTS, "box": "float32", "y": None})
    (_, labels) = next(iter(FACES[face](shards)))
    name, box, y = map(np.asarray, labels)
    assert name.tolist() == [3, 1, 0, 1]
    assert np.array_equal(box, boxes)
    assert y.tolist() == [5, 6, 7, 8]


@settings(
    deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.sampled_from(sorted(DTYPES)), st.integers(1, 5), st.data())
def test_bytes_are_the_values_that_were_written(
    tmp_path: Path, dtype: str, length: int, data: st.DataObject
) -> None:
    number = st.integers(0, DTYPES[dtype])
    rows = data.draw(st.lists(st.lists(number, min_size=length, max_size=length), min_size=1))
    values = np.array(rows).astype(dtype)
    # A file that was written anew with fewer records looks cut.
    path = write(tmp_path / uuid4().hex, target=[row.tobytes() for row in values])
    found = open_shards(path, labels={"target": dtype}).labels_array()["target"]
    assert np.array_equal(found.reshape(len(rows), length), values)


def test_texts_are_classes_as_those_of_a_set_of_ours(tmp_path: Path) -> None:
    numbers = [0, 1, 2, 3, 1]
    path = write(tmp_path / "a", name=[TEXTS[n].encode() for n in numbers])
    shards = open_shards(path, labels={"name": TEXTS})
    assert shards.labels[0].vocabulary == tuple(TEXTS)
    assert shards.labels[0].classes == 4
    assert len(shards.where(name="犬")) == 2
    assert pickle.loads(pickle.dumps(shards))[4][1] == 1
    other = open_shards(path, labels={"name": TEXTS[::-1]})
    assert other[0][1] == 3
    assert other.fingerprint != shards.fingerprint
    batch = next(iter(shards.batches(5, shuffle="none", one_hot=True)))
    assert np.array_equal(batch[1], np.eye(4, dtype=np.float32)[numbers])
    with pytest.raises(OptionError, match="classes must be one number, or one for each of 0"):
        open_shards(path, labels={"name": TEXTS}, classes=[4])


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a", name=[b"cat", b"cow", b""], box=[bytes(8), bytes(4), b""])
    shards = open_shards(path, labels={"name": TEXTS})
    with pytest.raises(
        UnsupportedRecordError, match=r"a: record 1 at .* 'name' is 'cow', which is none of the 4"
    ):
        shards[1]
    with pytest.raises(UnsupportedRecordError, match="'name' is '', which is none"):
        shards[2]
    assert open_shards(path, labels={"name": TEXTS}, missing=2)[2][1] == 2
    with pytest.raises(UnsupportedRecordError, match="'box' must have 8 bytes, 2 x int32, not 4"):
        open_shards(path, labels={"box": "int32"})[1]
    write(tmp_path / "b", box=[np.array([-1, 5]).tobytes()], y=[[1]])
    with pytest.raises(UnsupportedRecordError, match=r"must be 0 to 2147483647, not \[-1, 5\]"):
        open_shards(tmp_path / "b", labels={"box": "int64"})[0]
    says: list[tuple[Any, str]] = [
        ({"box": "float64"}, "is read as integers, such as 'int64', as 'float32', or by a list"),
        ({"box": "words"}, "not as 'words'"),
        ({"box": []}, r"the classes of 'box' are texts, and not \[\]"),
        ({"box": ["a", "a"]}, "'a' is the text of two classes"),
        ({"box": [1, 2]}, "are texts, and not"),
        ({"box": ">i3"}, "is read as integers"),
        ({"y": "int64"}, "labels must name features of numbers, or say how their bytes are read"),
        ({"box": "S3"}, "is read as integers"),
        ({"lacks": "int64"}, "labels must name"),
    ]
    for labels, words in says:
        with pytest.raises(OptionError, match=words):
            open_shards(tmp_path / "b", labels=labels)
    write(tmp_path / "c", box=[bytes(7)])
    with pytest.raises(OptionError, match="'box' has 7 bytes, which are no values of int32"):
        open_shards(tmp_path / "c", labels={"box": "int32"})
