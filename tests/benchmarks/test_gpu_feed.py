"""benchmarks/gpu_feed.py in a small form, on the CPU; and what it trains."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.reader.processes import ROOT, run

pytest.importorskip("torch")


def feed(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "benchmarks/gpu_feed.py", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}  # threads that wait in loops
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.mark.speed
def test_a_small_run_trains_from_each_source(tmp_path: Path) -> None:
    pytest.importorskip("jax")
    done = feed("--folder", tmp_path, "--records", 32, "--rounds", 1)
    assert done.returncode == 0, done.stderr[-4000:]
    torch, jax = done.stdout.split("\ntorch\n")[1].split("\njax\n")
    for table in (torch, jax):
        rows = table.strip().splitlines()[2:]
        names = ["batches on the device", "shards, to_torch", "files, a DataLoader"]
        assert [row[:22].rstrip() for row in rows] == names
        assert all(float(row.split()[-1]) > 0 for row in rows)


def test_less_than_a_batch_is_refused(tmp_path: Path) -> None:
    done = feed("--folder", tmp_path, "--records", 7)
    assert done.returncode == 1
    assert "7 records are less than a batch of 16" in done.stderr


# Both frameworks learn the classes of a few images by heart, from tensors that are shared.
_LEARNED = """
import json, sys
sys.path.insert(0, "benchmarks")
import jax
import numpy as np
import torch
import jax_training, torch_training
from networks import NETWORKS

torch.manual_seed(0)
images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), np.uint8))
labels = torch.arange(8) % 4
said = {}
small = NETWORKS["small"]
in_torch = torch_training.Training(small, 3, 4, torch.device("cpu"))
for made in (in_torch, jax_training.Training(small, 3, 4)):
    losses = [float(made.step(images, labels)) for _ in range(12)]
    made.wait()
    said[type(made).__module__] = losses[0], losses[-1]
for name, network in NETWORKS.items():
    torch_weights = sum(each.numel() for each in torch_training.build(network, 3, 4).parameters())
    shapes = jax.eval_shape(lambda network=network: jax_training.parameters(network, 3, 4))
    jax_weights = sum(each.size for each in shapes.values())
    said[name] = torch_weights, jax_weights
print(json.dumps(said))
"""


@pytest.mark.speed
def test_both_frameworks_train_the_same_network() -> None:
    pytest.importorskip("jax")
    said = run(_LEARNED, OMP_NUM_THREADS="1")
    for framework in ("torch_training", "jax_training"):
        first, last = said[framework]
        assert first == pytest.approx(1.386, abs=0.7)
        assert last < 0.9 * first
    for name in ("small", "resnet18"):
        # PyTorch's last layer has a bias, of one weight a class.
        of_torch, of_jax = said[name]
        assert of_torch == of_jax + 4
    # As torchvision's resnet18, whose last layer has 1,000 classes.
    assert said["resnet18"][0] == 11_689_512 - 513 * 1000 + 513 * 4
