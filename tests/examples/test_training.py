"""The examples that train: on which shards, what they leave, and that they go on."""

from __future__ import annotations

import importlib.util
import os
import pickle
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from converter import ConvertOptions, convert
from converter.table.cells.splits import SplitShares
from reader import open_shards
from reader.resume import Saves
from shardio.errors import OptionError
from shardio.format.transform import Transform

EXAMPLE = Path(__file__).parents[2] / "examples" / "captcha"
sys.path.insert(0, str(EXAMPLE))

from augmentation import augment  # noqa: E402
from results import write_curves  # noqa: E402
from splits import open_splits  # noqa: E402

CLASSES = 4
# Threads of torch wait for each other in loops, for long where others use the cores.
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}


def make(folder: Path, split: str | None, images: int = 120, shards: int = 5) -> Path:
    """Write shards of images whose colour is their class."""
    (folder / "images").mkdir(parents=True)
    draw = np.random.default_rng(1)
    rows = ["path,y0,y1"]
    for number in range(images):
        y0, y1 = number % CLASSES, number // CLASSES % CLASSES
        pixels = draw.integers(0, 40, (16, 24, 3), dtype=np.uint8)
        pixels[:, :12, 0] += np.uint8(50 * y0)
        pixels[:, 12:, 1] += np.uint8(50 * y1)
        Image.fromarray(pixels).save(folder / "images" / f"{number}.png")
        rows.append(f"images/{number}.png,{y0},{y1}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    options = ConvertOptions(
        transform=Transform(None, (24, 16)),
        shards=shards,
        splits=None if split is None else SplitShares.parse(split),
    )
    convert(str(folder / "labels.csv"), str(folder / "shards"), options, engine="inline")
    return folder / "shards"


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("split"), "train=0.8,val=0.2")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("plain"), None)


def run(script: str, *arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXAMPLE / script), *map(str, arguments)]
    return subprocess.run(
        command, cwd=cwd, env=ONE_THREAD, capture_output=True, text=True, check=False
    )


def tags(board: Path) -> dict[str, Any]:
    """Return what the event files of training and validation have, by their folders."""
    event_accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator",
        reason="tensorboard is not installed",
    )
    found = {}
    for name in ("train", "validation"):
        events = event_accumulator.EventAccumulator(str(board / name)).Reload()
        found[name] = events.Tags()
    return found


@pytest.mark.parametrize("place", ["", "/train-*.tfrecord", "/*.tfrecord"])
def test_a_split_val_is_what_is_held_out(split: Path, place: str) -> None:
    splits = open_splits(f"{split}{place}")
    assert {shard.path.rpartition("/")[2][:4] for shard in splits.train.shards} == {"trai"}
    assert {shard.path.rpartition("/")[2][:4] for shard in splits.held_out.shards} == {"val-"}
    assert len(splits.train) + len(splits.held_out) == 120


def test_the_split_test_is_not_trained_on(tmp_path: Path) -> None:
    three = make(tmp_path / "three", "train=0.6,val=0.2,test=0.2")
    for place in ("", "/*.tfrecord"):
        splits = open_splits(f"{three}{place}")
        assert splits.train.splits.keys() == {"train"}
        assert splits.held_out.splits.keys() == {"val"}
    two = make(tmp_path / "two", "train=0.6,test=0.4")
    splits = open_splits(str(two))
    assert splits.train.splits.keys() == splits.held_out.splits.keys() == {"train"}


@pytest.mark.parametrize("place", ["", "/train-*.tfrecord", "/train-00000-of-00005.tfrecord"])
def test_without_one_a_tenth_is_held_out(plain: Path, place: str) -> None:
    splits = open_splits(f"{plain}{place}")
    whole = open_shards(f"{plain}{place or '/*.tfrecord'}")
    assert len(splits.held_out) == len(whole) // 10
    parts = (splits.train, splits.held_out)
    images = [
        next(part.batches(len(part), shuffle="none", dtype="uint8"))[0] for part in (*parts, whole)
    ]
    assert np.array_equal(np.concatenate(images[:2]), images[2])
    assert f"{len(splits.held_out)} held out (the last 10%; there is no split val)" in splits.line


def test_of_many_shards_the_last_ones_are_held_out(tmp_path: Path) -> None:
    many = make(tmp_path / "many", None, shards=20)
    splits = open_splits(str(many))
    assert (len(splits.train.shards), len(splits.held_out.shards)) == (18, 2)
    assert "the last 2 of 20 shards; there is no split val" in splits.line


def test_shards_of_val_are_not_trained_on(split: Path) -> None:
    with pytest.raises(OptionError, match="the shards of val"):
        open_splits(f"{split}/val-*.tfrecord")


@pytest.mark.parametrize("script", ["train.py", "train_torch.py", "train_jax.py"])
def test_a_wrong_glob_fails_before_a_framework_is_imported(tmp_path: Path, script: str) -> None:
    line = f"import sys, runpy; sys.argv = ['x', '{tmp_path}/none-*.tfrecord', '--out', 'out']\n"
    line += f"sys.path.insert(0, {str(EXAMPLE)!r})\n"
    line += f"try: runpy.run_path({str(EXAMPLE / script)!r}, run_name='__main__')\n"
    line += "finally: print({'tensorflow', 'keras', 'torch', 'jax'} & set(sys.modules))\n"
    command = [sys.executable, "-c", line]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == "set()\n"
    assert "none-*.tfrecord" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_the_augmentation_keeps_shape_and_dtype() -> None:
    x = np.random.default_rng(1).integers(0, 256, (5, 8, 12, 3), dtype=np.uint8)
    changed, ys = augment(x, [1], np.random.default_rng(2))
    assert (changed.shape, changed.dtype, ys) == (x.shape, x.dtype, [1])
    assert not (changed == x).all()


def test_the_curves_show_every_number(tmp_path: Path) -> None:
    history = {"loss": [2.0, 1.0], "val_loss": [3.0, float("nan")], "y0_accuracy": [0.5, 1.0]}
    write_curves(tmp_path / "curves.svg", history)
    text = (tmp_path / "curves.svg").read_text()
    assert text.count("<polyline") == 3
    assert "nan" not in text


@pytest.mark.jobs
@pytest.mark.parametrize(
    ("script", "package"),
    [("train.py", "tensorflow"), ("train_torch.py", "torch"), ("train_jax.py", "jax")],
)
def test_an_example_learns_and_writes_into_its_folder_only(
    split: Path, tmp_path: Path, script: str, package: str
) -> None:
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    out = tmp_path / "training"
    arguments: tuple[object, ...] = (split, "--out", out, "--batch-size", 8, "--epochs")
    done = run(script, *arguments, 4, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "epoch 4" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["training"]
    with Image.open(out / "predictions.png") as picture:
        assert min(picture.size) > 100
    assert (out / "curves.svg").read_text().count("<polyline") >= 2
    if script == "train.py":
        assert ", waited " in done.stdout
        for name, written in tags(out / "board").items():
            scalars = {"epoch_loss"} | ({"epoch_stall"} if name == "train" else set())
            assert scalars <= {*written["scalars"]} | {*written["tensors"]}, (name, written)
    # What was finished is not trained again; more epochs go on.
    again = run(script, *arguments, 5, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "epoch 5" in again.stdout
    assert "epoch 4" not in again.stdout
    assert "nothing was trained" not in again.stdout
    ended = run(script, *arguments, 5, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert f"had ended, after 5 epochs, and nothing was trained now; --epochs 10 --out {out}" in (
        ended.stdout
    )


def saved(out: Path) -> tuple[Any, ...]:
    """Return weights as bytes, history, and the state of the stream."""
    latest = Saves(out / "saves").latest
    assert latest is not None
    if (latest / "training.pickle").exists():
        (weights, *_, history), state = pickle.loads((latest / "training.pickle").read_bytes())
        return [each.tobytes() for each in weights], history, state
    import torch

    found = torch.load(latest / "training.pt")
    weights = [each.numpy().tobytes() for each in found["model"].values()]
    return weights, found["history"], found["data"]


# Runs an example and says the row of each record that it is given, until so many batches or saves.
KILLED = f"""
import os, runpy, sys
from contextlib import contextmanager

sys.path.insert(0, {str(EXAMPLE)!r})
from reader import ShardSet
from reader.batching.batches import Batches
from reader.resume import Saves

left = {{"batches": int(sys.argv[1]), "saves": int(sys.argv[2])}}
options, following, new = ShardSet.options, Batches.__next__, Saves.new

def with_rows(shards, *given, **named):
    return options(shards, *given, **named, rows="transform" in named)

def said(stream):
    batch = following(stream)
    if not stream.options.rows:
        return batch
    *batch, rows = batch
    print("rows", *rows.tolist(), flush=True)
    count("batches")
    return tuple(batch)

@contextmanager
def counted(saves):
    with new(saves) as folder:
        yield folder
    count("saves")

def count(kind):
    left[kind] -= 1
    if not left[kind]:
        os.kill(os.getpid(), 9)

ShardSet.options, Batches.__next__, Saves.new = with_rows, said, counted
sys.argv = sys.argv[3:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run_logged(script: str, *arguments: object, batches: int = 0, saves: int = 0) -> list[int]:
    """Run, until a batch is taken or a save is made if one is given; returns the rows."""
    given = batches, saves, EXAMPLE / script, *arguments
    command = [sys.executable, "-c", KILLED, *map(str, given)]
    done = subprocess.run(command, env=ONE_THREAD, capture_output=True, text=True, check=False)
    assert done.returncode == (-9 if batches or saves else 0), done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    return [int(row) for first, *rows in lines if first == "rows" for row in rows]


@pytest.mark.jobs
@pytest.mark.parametrize("script", ["train_torch.py", "train_jax.py"])
def test_a_killed_example_goes_on_with_the_very_next_row(
    split: Path, tmp_path: Path, script: str
) -> None:
    package = script[6:-3]
    pytest.importorskip(package, reason=f"{package} is not installed")
    arguments = split, "--batch-size", 1, "--epochs", 2, "--out"
    whole = run_logged(script, *arguments, tmp_path / "whole")
    assert len(whole) == 2 * len(open_splits(str(split)).train) == 200
    # Some steps after a save, right after that of an epoch's end, and after one within the next.
    killed: tuple[dict[str, int], ...] = ({"batches": 60}, {"saves": 1}, {"batches": 70}, {})
    for ends, begin, end in zip(killed, (0, 50, 100, 150), (60, 100, 170, 200), strict=True):
        assert run_logged(script, *arguments, tmp_path / "out", **ends) == whole[begin:end]
    assert saved(tmp_path / "out") == saved(tmp_path / "whole")


@pytest.mark.jobs
def test_a_folder_is_for_one_training(split: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    arguments = [str(EXAMPLE / "train_torch.py"), str(split), "--out", str(tmp_path)]
    file = tmp_path / "file"
    file.touch()
    refused = run("train_torch.py", split, "--out", file / "run", cwd=tmp_path)
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1), refused.stderr
    command = [sys.executable, *arguments, "--batch-size", "1", "--epochs", "1000"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while Saves(tmp_path / "saves").latest is None and process.poll() is None:
            time.sleep(0.01)
        twice = run(*arguments, cwd=tmp_path)
        process.kill()
    assert twice.stderr == (
        f"train_torch: another training saves into {tmp_path / 'saves'}: name another folder\n"
    )
    epoch = saved(tmp_path)[-1]["epoch"]
    done = run(*arguments, "--batch-size", 8, "--epochs", epoch + 2, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"epoch {epoch + 2}/{epoch + 2}: " in done.stdout


# Saves: after 50 and 100 steps of one image, and at the end of each epoch.
@pytest.mark.jobs
@pytest.mark.parametrize(
    ("script", "save", "left", "epoch"),
    [
        ("train_torch.py", 1, 8, 0),
        ("train_torch.py", 2, 8, 0),
        ("train_torch.py", 2, 7, 0),
        ("train_torch.py", 3, 7, 1),
        ("train_jax.py", 2, 7, 0),
    ],
)
def test_a_restart_with_another_batch_size_counts_the_same_epochs(
    tmp_path: Path, script: str, save: int, left: int, epoch: int
) -> None:
    package = script[6:-3]
    pytest.importorskip(package, reason=f"{package} is not installed")
    shards = make(tmp_path / "set", None, images=111 + left)
    assert len(open_splits(str(shards)).train) == 100 + left
    arguments = shards, "--out", tmp_path
    run_logged(script, *arguments, "--batch-size", 1, saves=save)
    done = run(script, *arguments, "--batch-size", 8, "--epochs", 2, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    said = [line.split(":")[0] for line in done.stdout.splitlines() if line.startswith("epoch")]
    assert said == [f"epoch {number}/2" for number in range(epoch + 1, 3)]
    _, history, state = saved(tmp_path)
    assert {len(values) for values in history.values()} == {2}
    assert state["epoch"] == 2
