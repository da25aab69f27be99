"""Loops in PyTorch, JAX, Lightning and accelerate go on with the very next batch after a kill.

The scripts hold the lines that docs/training.md shows.
"""

from __future__ import annotations

import importlib.util
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from reader import open_shards
from tests.reader.datasets import write_dataset
from tests.reader.processes import ROOT

# 7 steps of an epoch, 3 epochs; a save after every two steps of an iteration.
BATCH, EPOCHS = 5, 3

_BEGIN = """
import os, signal, sys
import torch
from torch.utils.data import DataLoader
from reader import open_shards
from reader.resume import Saves

glob, folder, log, kill, every = *sys.argv[1:4], int(sys.argv[4]), int(sys.argv[5])
shards = open_shards(glob)
torch.manual_seed(1)
model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(18, 7))
optimizer = torch.optim.Adam(model.parameters())
trained = 0

def told(rows):
    global trained
    with open(log, "a") as file:
        print(*rows.tolist(), file=file)
    if trained == kill:
        os.kill(os.getpid(), signal.SIGKILL)
    trained += 1

def loss_of(x, ys, rows):
    told(rows)
    return torch.nn.functional.cross_entropy(model(x), ys[0])
"""

_LOOP = """
def step(batch):
    optimizer.zero_grad()
    loss_of(*batch).backward()
    optimizer.step()

data = shards.to_torch(5, rows=True)
saves = Saves(folder)
if saves.latest is not None:
    saved = torch.load(saves.latest / "training.pt")
    for name, each in {"model": model, "optimizer": optimizer, "data": data}.items():
        each.load_state_dict(saved[name])
while data.state_dict()["epoch"] < 3:
    for number, batch in enumerate(DataLoader(data, batch_size=None), 1):
        step(batch)
        if number % every == 0:
            state = {"model": model, "optimizer": optimizer, "data": data}
            with saves.new() as place:
                torch.save({n: s.state_dict() for n, s in state.items()}, place / "training.pt")
"""

_JAX = """
import pickle
import jax

weights = jax.numpy.zeros((18, 7))

@jax.jit
def step(weights, x, y):
    def loss(weights):
        heads = jax.nn.log_softmax(x.reshape(len(x), -1) @ weights)
        return -jax.numpy.take_along_axis(heads, y[:, None], 1).mean()
    return weights - 0.1 * jax.grad(loss)(weights)

stream, saves = shards.batches(5, rows=True), Saves(folder)
if saves.latest is not None:
    weights, state = pickle.loads((saves.latest / "training.pickle").read_bytes())
    stream.load_state_dict(state)
while stream.state_dict()["epoch"] < 3:
    for number, (x, ys, rows) in enumerate(stream, 1):
        told(rows)
        weights = step(weights, x, ys[0])
        if number % every == 0:
            state = jax.device_get(weights), stream.state_dict()
            with saves.new() as place:
                (place / "training.pickle").write_bytes(pickle.dumps(state))
"""

_ACCELERATE = """
from accelerate import Accelerator

accelerator = Accelerator(cpu=True)
data = shards.to_torch(5, epochs=3, rows=True)
model, optimizer = accelerator.prepare(model, optimizer)
accelerator.register_for_checkpointing(data)
saves = Saves(folder)
if saves.latest is not None:
    accelerator.load_state(str(saves.latest))
for number, batch in enumerate(DataLoader(data, batch_size=None), 1):
    optimizer.zero_grad()
    accelerator.backward(loss_of(*batch))
    optimizer.step()
    if number % 2 == 0:
        with saves.new() as place:
            accelerator.save_state(str(place))
"""

_LIGHTNING = """
import lightning as L

class Module(L.LightningModule):
    def __init__(self, data):
        super().__init__()
        self.model, self.data = model, data

    def training_step(self, batch, index):
        return loss_of(*batch)

    def configure_optimizers(self):
        return optimizer

    def on_save_checkpoint(self, checkpoint):
        checkpoint["data"] = self.data.state_dict()

    def on_load_checkpoint(self, checkpoint):
        self.data.load_state_dict(checkpoint["data"])

data = shards.to_torch(5, rows=True)
saver = L.pytorch.callbacks.ModelCheckpoint(folder, every_n_train_steps=2, save_last=True)
trainer = L.Trainer(
    accelerator="cpu", max_epochs=3, callbacks=[saver], logger=False, enable_progress_bar=False,
    enable_model_summary=False,
)
trainer.fit(Module(data), DataLoader(data, batch_size=None), ckpt_path="last")
"""

_SCRIPTS = {"torch": _LOOP, "jax": _JAX, "accelerate": _ACCELERATE, "lightning": _LIGHTNING}


@pytest.mark.jobs
@pytest.mark.parametrize("framework", _SCRIPTS)
def test_each_step_after_a_kill_has_its_batch(framework: str, tmp_path: Path) -> None:
    for name in ("torch", framework):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
    made = write_dataset(tmp_path / "shards")
    batches = open_shards(made.glob).batches(BATCH, epochs=EPOCHS, rows=True)
    expected = [rows.tolist() for *_, rows in batches]
    log = tmp_path / "log"
    command = [sys.executable, "-W", "ignore", "-c", _BEGIN + _SCRIPTS[framework]]
    # In the first epoch, at an end of one, and after another kill.
    for kill in (5, 4, 1, 5, -1):
        done = subprocess.run(
            [*command, made.glob, str(tmp_path / "saves"), str(log), str(kill), "2"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == (0 if kill < 0 else -signal.SIGKILL), done.stderr[-3000:]
    at = 0
    for line in log.read_text().splitlines():
        place = expected.index([int(row) for row in line.split()])
        assert place == at or at - 3 <= place < at  # an end of an epoch is not saved
        at = place + 1
    assert at == len(expected)


@pytest.mark.jobs
@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_what_is_saved_at_the_very_end_is_not_trained_again(framework: str, tmp_path: Path) -> None:
    for name in ("torch", framework):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
    made = write_dataset(tmp_path / "shards")
    log = tmp_path / "log"
    command = [sys.executable, "-W", "ignore", "-c", _BEGIN + _SCRIPTS[framework]]
    for _ in range(2):
        words = [*command, made.glob, str(tmp_path / "saves"), str(log), "-1", "7"]
        subprocess.run(words, cwd=ROOT, check=True)
        assert len(log.read_text().splitlines()) == 7 * EPOCHS
