"""The README's commands and code are run as they stand, on a few demo captchas."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from reader import open_shards
from tests.converter.sample_sets import IMAGES, values_of, write_lmdb, write_tars
from tests.reader.foreign_files import encode, example, tf

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the demo's images and, made by the README's own commands, shards."""
    folder = tmp_path_factory.mktemp("readme")
    demo = ROOT / "examples" / "captcha" / "make_captchas.py"
    command = [sys.executable, str(demo), "demo", "--images", "300", "--classes", "9"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    for name in ("labels.csv", "images"):
        (folder / name).symlink_to(folder / "demo" / name)
    (folder / "ssd").mkdir()
    write_sets(folder)
    for line in "".join(blocks("sh")).splitlines():
        if re.match("shardio-convert (?!show)", line):
            words = shlex.split(line.replace("/ssd/", "ssd/"), comments=True)
            command = [sys.executable, "-m", "converter", *words[1:]]
            subprocess.run(command, cwd=folder, check=True, timeout=300)
    (folder / "data" / "captcha").mkdir()
    shutil.copytree(folder / "ssd" / "shards", folder / "data" / "captcha" / "shards")
    return folder


def write_sets(folder: Path) -> None:
    """Write sets of other tools, each of 12 images."""
    write_tars(folder, range(12), 3)
    write_foreign(folder / "train.tfrecord-00000-of-00001", 12)
    (folder / "data").mkdir()
    faces = [{"bytes": image, "path": None} for image in IMAGES]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({"image": pa.array(faces, kind), "label": range(12)})
    parquet.write_table(table, folder / "data" / "train-00000-of-00001.parquet")
    (folder / "lmdb").mkdir()
    write_lmdb(folder / "lmdb" / "train", values_of(range(12)))


def test_the_commands_make_what_they_say(place: Path) -> None:
    assert open_shards(place / "ssd" / "shards", split="train").classes == (21000,) * 4
    assert open_shards(place / "ssd" / "small").shape == (64, 64, 3)
    assert not (place / "ssd" / "other").exists()
    for name in ("tars", "faces", "dogs", "words"):
        assert len(open_shards(place / "ssd" / name)) == 12


# Keras tells everyone who gives it a tf.data.Dataset that its own shuffle is not used.
@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed")
def test_the_code_runs(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    image = keras.Input((32, 128, 3))
    pooled = keras.layers.Flatten()(keras.layers.AveragePooling2D(16)(image))
    heads = [keras.layers.Dense(21000, activation="softmax")(pooled) for _ in range(4)]
    model = keras.Model(image, heads)
    model.compile("sgd", loss=["sparse_categorical_crossentropy"] * 4)
    names: dict[str, Any] = {"model": model}
    code = [block.replace("/ssd/", "ssd/") for block in blocks("python")]
    assert len(code) == 8
    write_foreign(place / "foreign-0.tfrecord")
    for block in code:
        if all(name not in block or find_spec(name) for name in ("torch", "jax")):
            exec(block, names)
        if "foreign" in block:
            assert (names["shards"].classes, len(names["shards"])) == ((1001,), 3)
    assert names["x"].shape[1:] == (32, 128, 3)


def write_foreign(path: Path, count: int = 3) -> None:
    pixels = np.zeros((32, 128, 3), dtype=np.uint8)
    image = encode(pixels, "PNG")
    with tf.io.TFRecordWriter(str(path)) as writer:
        for label in range(count):
            writer.write(example(image__encoded=image, image__class__label=label))


def test_every_option_is_in_the_table() -> None:
    from dataclasses import fields

    from reader.batching.options import BatchOptions

    rows = re.findall(r"^\| `(\w+)` \| `?(.*?)`? \|", README, re.MULTILINE)
    defaults = {field.name: field.default for field in fields(BatchOptions)}
    assert {name: default.strip('"') for name, default in rows} == {
        name: str(default) for name, default in defaults.items()
    }


def test_code_is_within_the_first_30_lines() -> None:
    assert "open_shards" in "\n".join(README.splitlines()[:30])
