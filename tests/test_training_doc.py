"""The code of docs/training.md is run as it stands, on a set of its own."""

from __future__ import annotations

import importlib
import json
import pickle
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from reader import open_shards

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

DOC = (Path(__file__).parent.parent / "docs" / "training.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", DOC, re.MULTILINE | re.DOTALL)
# Parts of larger programs: of several processes, a GPU, or a class that others fill. What they say
# is tried in tests/reader/frameworks and tests/reader/resume.
NOT_RUN = (
    'strategy="ddp"',
    "accelerator",
    "L.LightningModule",
    '"cuda"',
)


def test_all_of_it_is_python_and_most_is_run() -> None:
    for block in BLOCKS:
        compile(block, "docs/training.md", "exec")
    for part in NOT_RUN:
        assert any(part in block for block in BLOCKS), f"{part} is in no block any more"
    assert len([block for block in BLOCKS if is_run(block)]) >= 14


def is_run(block: str) -> bool:
    return not any(part in block for part in NOT_RUN)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a set of one head, and one that has weights too."""
    rng = np.random.default_rng(0)
    (tmp_path / "ssd").mkdir()
    lines = ["path,y0,weight,split"]
    for number in range(400):
        pixels = rng.integers(0, 256, (32, 128, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png", compress_level=1)
        split = "val" if number % 4 == 0 else "train"
        lines.append(f"{number}.png,{number % 9},{number % 3},{split}")
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    for out, options in (
        ("shards", ["--labels", "y0"]),
        ("weighted", ["--labels", "y0", "--float-labels", "weight"]),
    ):
        command = [sys.executable, "-m", "converter", "labels.csv", f"ssd/{out}", *options]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    return tmp_path


class Small(torch.nn.Module):  # type: ignore[misc,name-defined]  # torch is not followed
    """A model for PyTorch."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(3, 9)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_the_code_runs(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    shards = open_shards("ssd/shards", split="train")
    names: dict[str, Any] = {
        "open_shards": open_shards,
        "keras": keras,
        "np": np,
        "json": json,
        "Path": Path,
        "torch": torch,
        "DataLoader": torch.utils.data.DataLoader,
        "pickle": pickle,
        "weights": np.zeros(1),
        "jax": importlib.import_module("jax") if find_spec("jax") else None,
        "strategy": tf.distribute.MirroredStrategy(["cpu:0"]),
        "batch_size": 128,
        "validation": shards.to_tf_dataset(128),
        "step": lambda x, ys: x.sum(),
    }
    weighted = open_shards("ssd/weighted", split="train")
    for block in filter(is_run, BLOCKS):
        if "jax" in block and names["jax"] is None:
            continue
        # Each finds what the text before it says that there is.
        names["shards"] = weighted if '"weight"' in block else shards
        names["model"] = keras_model()
        if "Saves" in block:
            names["model"] = Small()
            names["saves"] = None
            shutil.rmtree("run", ignore_errors=True)  # saves of another training
            names["optimizer"] = torch.optim.SGD(names["model"].parameters())
        exec(block.replace("/ssd/", "ssd/"), names)
    assert names["shards"].stats.batches > 0


def keras_model() -> Any:
    image = keras.Input((None, None, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(image)
    model = keras.Model(image, keras.layers.Dense(9, activation="softmax")(pooled))
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model
