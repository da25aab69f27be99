"""The doctor is right about sets and models that are made to have one slow stage.

Each is slower than the others by a factor that no load of the machine makes up for.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reader import open_shards
from reader.commands.cli import main
from reader.measure.examine import Wanted, examine
from reader.measure.verdict import verdict
from tests.reader.datasets import write_dataset
from tests.reader.foreign_files import Foreign, encode, example, photos, write_records
from tests.reader.mounts import need_fuse, take_away, wait_until
from tests.reader.sets_of_images import write_images_set

Output = pytest.CaptureFixture[str]
SLOW = Path(__file__).with_name("slow_disk.py")


def doctor(capsys: Output, folder: Path | str, *words: object) -> dict[str, Any]:
    """Run it; returns what it says as JSON."""
    assert main(["doctor", str(folder), *map(str, words), "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    images = np.random.default_rng(0).integers(0, 256, (2000, 64, 64, 3), dtype=np.uint8)
    write_images_set(tmp_path / "raw", {"train": 2000}, images, np.arange(2000) % 7)
    return tmp_path / "raw"


@pytest.fixture
def encoded(tmp_path: Path) -> str:
    """Images of a megapixel, and few bytes each."""
    files = [encode(image, "JPEG") for image in photos(48, (1024, 1024, 3))]
    records = [example(image=data, y0=number % 7) for number, data in enumerate(files)]
    write_records(tmp_path / "encoded" / "large.tfrecord", records)
    return f"{tmp_path}/encoded/*.tfrecord"


@pytest.fixture
def slow_disk(raw: Path, tmp_path: Path) -> Iterator[Path]:
    need_fuse()
    pytest.importorskip("mfusepy")
    point = tmp_path / "slow"
    point.mkdir()
    process = subprocess.Popen([sys.executable, str(SLOW), str(raw), "0.1", str(point)])
    try:
        wait_until(lambda: point.is_mount() or process.poll() is not None)
        assert point.is_mount()
        yield point
    finally:
        take_away(point)
        process.kill()
        process.wait()


@pytest.mark.speed
def test_a_slow_disk(slow_disk: Path, capsys: Output) -> None:
    found = doctor(capsys, slow_disk, "--batch-size", 32, "--step-ms", 10)
    assert found["verdict"]["stage"] == "storage", found
    assert "shardio-read stage" in found["verdict"]["sentence"]
    names = {(each["stage"], each["name"]) for each in found["stages"]}
    assert ("storage", "at random, cold") in names
    assert found["cold"] is None


@pytest.mark.speed
def test_slow_decoding(encoded: str, capsys: Output) -> None:
    found = doctor(capsys, encoded, "--batch-size", 4, "--step-ms", 0.1, "--dtype", "uint8")
    assert found["verdict"]["stage"] == "decoding", found
    assert "shardio-convert" in found["verdict"]["sentence"]


SLEEPS = """
import time

def make(shapes):
    assert shapes == {"image": (8, 64, 64, 3), "y0": (8,)}, shapes

    def step(x, y):
        assert (x.shape, y.shape) == ((8, 64, 64, 3), (8,))
        time.sleep(0.2)

    return step
"""


@pytest.mark.speed
def test_a_slow_model(raw: Path, tmp_path: Path, capsys: Output) -> None:
    (tmp_path / "model.py").write_text(SLEEPS)
    words = "--batch-size", 8, "--model", f"{tmp_path}/model.py:make"
    found = doctor(capsys, raw, *words)
    assert found["verdict"]["stage"] == "model", found
    assert found["lock_held"] < 0.5
    assert 0 < found["demand"]["rate"] < 41


# It holds the lock for as long as a batch takes to be made, so that one could hide the other.
HOLDS = """
import ctypes, time
from reader import open_shards

def make():
    stream = open_shards({folder!r}).batches(16, dtype="uint8", epochs=None)
    next(stream)
    start = time.perf_counter()
    for _ in range(6):
        next(stream)
    stream.close()
    microseconds = int((time.perf_counter() - start) / 6 * 1e6)
    usleep = ctypes.PyDLL(None).usleep  # unlike CDLL it keeps the lock
    return lambda x, y: usleep(microseconds) and None
"""


@pytest.mark.speed
def test_a_model_that_holds_the_lock(encoded: str, tmp_path: Path, capsys: Output) -> None:
    (tmp_path / "model.py").write_text(HOLDS.format(folder=encoded))
    words = "--batch-size", 16, "--dtype", "uint8", "--model", f"{tmp_path}/model.py:make"
    found = doctor(capsys, encoded, *words)
    assert found["verdict"]["stage"] == "lock", found
    assert found["lock_held"] > 0.5
    assert "num_workers" in found["verdict"]["sentence"]


KERAS = """
import keras

def make(shapes):
    model = keras.Sequential([keras.Input(shapes["image"][1:]), keras.layers.Flatten(),
                              keras.layers.Dense(7)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model
"""


@pytest.mark.speed
def test_a_keras_model_and_a_table(raw: Path, tmp_path: Path, capsys: Output) -> None:
    (tmp_path / "model.py").write_text(KERAS)
    assert main(["doctor", str(raw), "--model", f"{tmp_path}/model.py:make"]) == 0
    out = capsys.readouterr().out
    assert "fed by tf.data" in out
    assert "half a bar is what the model takes" in out
    *_, blank, sentence = out.splitlines()
    assert blank == ""
    assert sentence.endswith(".")


def test_without_time_there_is_a_verdict_all_the_same(raw: Path) -> None:
    found = examine(open_shards(raw, "train"), Wanted(8, "float32", 0.2), print, seconds=0)
    assert {*found.warm, *found.cold} <= {"exact"}
    assert not found.adaptors
    assert {"window", "none", "decoding", "NumPy"} <= {*found.left_out}
    assert verdict(found).stage in ("model", "storage", "decoding")


def said(capsys: Output, *words: object) -> str:
    """Run the command, which fails; returns its one line."""
    with suppress(SystemExit):  # of wrong arguments
        assert main(["doctor", *map(str, words)]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    return printed.err


def test_sets_that_cannot_be_measured(tmp_path: Path, capsys: Output) -> None:
    assert "no" in said(capsys, tmp_path / "nothing")
    empty = write_dataset(tmp_path / "empty", (0, 0))
    assert "all shards are empty" in said(capsys, empty.folder)
    few = write_dataset(tmp_path / "few")
    assert "fewer than a batch: give a --batch-size of at most 37" in said(capsys, few.folder)
    foreign = Foreign(tmp_path / "foreign")
    assert "labels" in said(capsys, foreign.glob, "--labels", "nothing")


def test_a_damaged_shard_is_named(tmp_path: Path, capsys: Output) -> None:
    made = write_dataset(tmp_path / "set", (600, 400))
    data = bytearray(made.shard(1).read_bytes())
    data[len(data) // 2] ^= 1
    made.shard(1).write_bytes(data)
    assert f"{made.shard(1).name}: record" in said(capsys, made.folder)


@pytest.mark.parametrize(
    ("text", "function", "message"),
    [
        ("", "make", "there is no function make"),
        ("make = 3", "make", "there is no function make"),
        ("import nothing_of_that_name", "make", "cannot be imported: ModuleNotFoundError"),
        ("def make(:", "make", "cannot be imported: SyntaxError"),
        ("raise SystemExit(3)", "make", "cannot be imported: SystemExit: 3"),
        ("def make(): raise ValueError('no GPU')", "make", "failed: ValueError: no GPU"),
        ("def make(): return 3", "make", "returns int, and neither a compiled Keras model"),
        ("def make(): return lambda x: 3", "make", "its step failed: TypeError"),
        ("def make(): pass", "m-ake", "a file and a function in it, file.py:make"),
    ],
)
def test_models_that_fail(
    tmp_path: Path, capsys: Output, text: str, function: str, message: str
) -> None:
    from reader.measure.model import begin_model, parse_model
    from shardio.errors import OptionError

    made = write_dataset(tmp_path / "set", (600, 400))
    file = tmp_path / "model.py"
    file.write_text(text)
    before = list(sys.path)
    with pytest.raises(OptionError) as caught:
        begin_model(open_shards(made.glob), *parse_model(f"{file}:{function}"), 8, {})
    sys.path[:] = before
    assert message in str(caught.value)
    assert "--model" in str(caught.value)


def test_a_model_file_must_be_there(tmp_path: Path, capsys: Output) -> None:
    made = write_dataset(tmp_path / "set")
    assert "there is no file" in said(capsys, made.folder, "--model", "gone.py:make")
    assert "must be above 0" in said(capsys, made.folder, "--step-ms", "0")
    assert "not allowed with" in said(
        capsys, made.folder, "--step-ms", "3", "--model", "gone.py:make"
    )
