"""Loops in PyTorch, JAX, Lightning and accelerate go on with the very next batch after a kill.

The scripts hold the lines that docs/training.md shows. Each attempt that is killed is a fork, which
has imported the framework and not used it.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from reader import open_shards
from tests.reader.datasets import write_dataset
from tests.reader.processes import run

# 7 steps of an epoch, 3 epochs; a save after every two steps of an iteration.
BATCH, EPOCHS = 5, 3

_BEGIN = """
import json, os, random, sys
import torch
from torch.utils.data import DataLoader
from reader import open_shards
from reader.resume import Saves
from tests.changes import Changes

glob, top, every, kills, seed = *sys.argv[1:3], *map(int, sys.argv[3:])
draw, killed_before = random.Random(seed), []
torch.set_num_threads(1)

def begin():
    # What follows is done by a fork that nobody kills, by those that are, and here to its end.
    at("whole")
    if not os.fork():
        return ready(Changes(top))
    assert os.wait()[1] == 0
    at("killed")
    for _ in range(kills):
        # All kills together leave some of the training to be done.
        changes = json.load(open(f"{top}/whole/result.json"))["changes"]
        killed_before.append(draw.randrange(changes // (kills + 1)))
        if not os.fork():
            return ready(Changes(top, killed_before[-1]))
        assert os.waitstatus_to_exitcode(os.wait()[1]) == -9, killed_before
    return ready(None)

def at(name):
    global home, folder, log
    home, folder, log = f"{top}/{name}", f"{top}/{name}/saves", f"{top}/{name}/log"
    os.makedirs(home, exist_ok=True)

def ready(changes):
    torch.manual_seed(1)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(18, 7))
    return changes, open_shards(glob), model, torch.optim.Adam(model.parameters())

def told(rows):
    with open(log, "a") as file:
        print(*rows.tolist(), file=file)

def loss_of(x, ys, rows):
    told(rows)
    return torch.nn.functional.cross_entropy(model(x), ys[0])
"""

_END = """
weights = [weights] if "weights" in globals() else [each.detach() for each in model.parameters()]
result = {
    "rows": [[int(row) for row in line.split()] for line in open(log)],
    "weights": [each.__array__().tobytes().hex() for each in weights],
    "changes": changes and changes.count,
    "killed_before": killed_before,
}
with open(f"{home}/result.json", "w") as file:
    json.dump(result, file)
"""

_LOOP = """
changes, shards, model, optimizer = begin()

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

changes, shards, model, optimizer = begin()

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

changes, shards, model, optimizer = begin()

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

changes, shards, model, optimizer = begin()

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


def train(
    framework: str, glob: str, home: Path, every: int, kills: int, seed: int = 0
) -> list[dict[str, Any]]:
    """Train, undisturbed and killed so many times; returns what was trained on, and the weights."""
    for name in ("torch", framework):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
    run(_BEGIN + _SCRIPTS[framework] + _END + "print(0)", glob, home, every, kills, seed)
    results = (home / name / "result.json" for name in ("whole", "killed"))
    return [json.loads(result.read_text()) for result in results]


# Thirty kills for each framework.
@pytest.mark.kills
@pytest.mark.parametrize("seed", range(1, 6))
@pytest.mark.parametrize("framework", _SCRIPTS)
def test_each_step_after_a_kill_has_its_batch(framework: str, seed: int, tmp_path: Path) -> None:
    glob = write_dataset(tmp_path / "shards").glob
    batches = open_shards(glob).batches(BATCH, epochs=EPOCHS, rows=True)
    expected = [rows.tolist() for *_, rows in batches]
    whole, killed = train(framework, glob, tmp_path, 2, 6, seed)
    assert whole["rows"] == expected
    at = 0
    for rows in killed["rows"]:
        place = expected.index(rows)
        # An end of an epoch is not saved.
        assert place == at or at - 3 <= place < at, killed["killed_before"]
        at = place + 1
    assert at == len(expected), killed["killed_before"]
    assert killed["weights"] == whole["weights"], killed["killed_before"]


@pytest.mark.jobs
@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_what_is_saved_at_the_very_end_is_not_trained_again(framework: str, tmp_path: Path) -> None:
    glob = write_dataset(tmp_path / "shards").glob
    for _ in range(2):
        for trained in train(framework, glob, tmp_path, 7, 0):
            assert len(trained["rows"]) == 7 * EPOCHS
