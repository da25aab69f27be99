"""Raw pixels of every kind: what is read is what NumPy finds in the same bytes."""

from __future__ import annotations

import pickle
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from reader import ShardSet, open_shards
from reader.commands.cli import main
from shardio.errors import DatasetError, OptionError
from tests.reader.foreign_files import example, write_records

HEIGHT, WIDTH = 5, 7
COUNT = 6


def values(dtype: str, channels: int) -> NDArray[Any]:
    """Values of a dtype from all of its range, and what is no number."""
    rng = np.random.default_rng(channels)
    shape = COUNT, HEIGHT, WIDTH, channels
    if np.dtype(dtype).kind == "u":
        return rng.integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)
    found = rng.standard_normal(shape) * 1e3
    found[0, 0, :3, 0] = np.nan, np.inf, -0.0
    return found.astype(dtype)


def written(folder: Path, images: NDArray[Any]) -> Path:
    path = folder / "x.tfrecord"
    records = [example(pixels=x.tobytes(), label=n) for n, x in enumerate(images)]
    write_records(path, records)
    return path


def opened(path: Path, channels: int, dtype: Any, scheme: str = "") -> ShardSet:
    return open_shards(f"{scheme}{path}", shape=(HEIGHT, WIDTH, channels), image={"pixels": dtype})


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("dtype", ["uint8", "<u2", ">u2", "<f4", ">f4"])
def test_pixels_are_those_of_numpy(tmp_path: Path, dtype: str, channels: int) -> None:
    images = values(dtype, channels)
    wanted = (images >> 8).astype(np.uint8) if dtype.endswith("u2") else images
    path = written(tmp_path, images)
    is_float = dtype.endswith("f4")
    for scheme, shuffle in product(["", "file://"], ["exact", "window", "none"]):
        shards = pickle.loads(pickle.dumps(opened(path, channels, dtype, scheme)))
        for batch_dtype in ["float32"] if is_float else ["float32", "uint8"]:
            for x, y in shards.batches(2, dtype=batch_dtype, shuffle=shuffle):
                scaled = not is_float and batch_dtype == "float32"
                expected = wanted[y] / np.float32(255) if scaled else wanted[y]
                assert x.dtype == batch_dtype
                assert np.array_equal(x, expected, equal_nan=is_float)
    image, label = shards[3]
    assert image.dtype == ("float32" if is_float else "uint8")
    assert np.array_equal(image, wanted[3])
    assert label == 3


def test_floats_have_no_other_dtype(tmp_path: Path) -> None:
    shards = opened(written(tmp_path, values("float32", 3)), 3, np.float32)
    for face in (shards.batches, shards.to_tf_dataset):
        with pytest.raises(OptionError, match="of this set are floats"):
            face(2, dtype="uint8")


def test_sets_of_several_kinds_are_not_joined(tmp_path: Path) -> None:
    sets = [
        opened(written(tmp_path / dtype, values(dtype, 3)), 3, dtype)
        for dtype in ("uint8", "uint16", "float32")
    ]
    assert len({shards.fingerprint for shards in sets}) == 3
    for other in sets[1:]:
        with pytest.raises(DatasetError, match="stored in another way"):
            open_shards([sets[0], other])


@pytest.mark.parametrize(
    ("dtype", "channels", "said", "words"),
    [
        ("float32", 3, None, r"RGB float pixels: shape=\(5, 7, 3\), image={'pixels': 'float32'}"),
        ("uint16", 3, None, r"RGB 16-bit pixels: shape=\(5, 7, 3\), image={'pixels': 'uint16'}"),
        (
            "float32",
            1,
            "uint16",
            r"70 bytes as uint16, .* has 140; so many have RGBA",
        ),
        ("float32", 3, "float64", "read as 'uint8', 'uint16', 'float32', not as 'float64'"),
        ("float32", 3, 5, "not as 5"),
    ],
)
def test_what_does_not_fit_is_named_with_what_would(
    tmp_path: Path, dtype: str, channels: int, said: Any, words: str
) -> None:
    path = written(tmp_path, values(dtype, channels))
    with pytest.raises(OptionError, match=words):
        opened(path, channels, said)


def test_an_image_of_another_size_is_named(tmp_path: Path) -> None:
    images = values("float32", 1)
    path = tmp_path / "x.tfrecord"
    records = [example(pixels=x.tobytes(), label=0) for x in (images[0], images[1, 1:])]
    write_records(path, records)
    with pytest.raises(DatasetError, match=r"record 1 at byte .* 112 bytes, .* have 140"):
        list(opened(path, 1, "float32").batches(2))


def test_commands_read_them_and_their_texts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.tfrecord"
    records = [
        example(pixels=x.tobytes(), kind=b"cat" if n % 2 else b"dog")
        for n, x in enumerate(values("float32", 3))
    ]
    write_records(path, records)
    (tmp_path / "classes.txt").write_text("dog\ncat\n")
    pixels = ["--shape", "5x7x3", "--image", "pixels=float32"]
    labels = ["--labels", f"kind={tmp_path}/classes.txt"]
    assert main(["info", str(path), *pixels, *labels]) == 0
    out = capsys.readouterr().out
    assert "7x5 RGB, float32" in out
    assert "kind: 2 classes" in out
    assert main(["verify", str(path), *pixels, *labels, "--quiet"]) == 0
    for arguments, words in (
        (["show", str(path), *pixels, *labels, "-o", "x.png"], "floats, of which no pictures"),
        (["info", str(path), *pixels, "--labels", "kind=no.txt"], "NAME=no.txt: there is no such"),
        (["info", str(path), *pixels, "--labels", "kind"], "--labels kind=FILE takes them from li"),
    ):
        with pytest.raises(SystemExit):
            main(arguments)
        assert words in capsys.readouterr().err
