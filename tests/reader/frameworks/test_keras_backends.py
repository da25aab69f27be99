"""`to_keras` under each backend of Keras, which a process chooses once."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from reader import open_shards
from tests.reader.datasets import Made, write_dataset
from tests.reader.processes import run

_EPOCHS = 4

_FIT = """
import json, sys
import keras
import numpy as np
from reader import open_shards

shards = open_shards(sys.argv[1])
epochs = int(sys.argv[2])
known = {shards[record][0].tobytes(): record for record in range(len(shards))}

class Seen(keras.utils.PyDataset):
    # Hands on what it is asked for, and keeps which records every epoch had.
    def __init__(self, batches):
        super().__init__()
        self.batches = batches
        self.now, self.epochs = [], []

    num_batches = property(lambda self: self.batches.num_batches)

    def __getitem__(self, index):
        x, ys = self.batches[index]
        self.now += [known[np.rint(image * 255).astype(np.uint8).tobytes()] for image in x]
        return x, ys

    def on_epoch_begin(self):
        self.now = []
        self.epochs.append(self.now)
        self.batches.on_epoch_begin()

    def on_epoch_end(self):
        self.batches.on_epoch_end()

said = {"backend": keras.backend.backend()}
for name, options, kind in (
    ("sparse", {}, "sparse_categorical_crossentropy"),
    ("one_hot", {"one_hot": True}, "categorical_crossentropy"),
):
    keras.utils.set_random_seed(1)
    x = keras.Input((2, 3, 3))
    flat = keras.layers.Flatten()(x)
    heads = [
        keras.layers.Dense(classes, activation="softmax", name=f"y{head}")(flat)
        for head, classes in enumerate(shards.classes)
    ]
    model = keras.Model(x, heads)
    model.compile(keras.optimizers.Adam(0.02), loss=[kind] * 2, metrics=["accuracy"] * 2)
    before = model.get_weights()
    seen = Seen(shards.to_keras(5, drop_remainder=False, **options))
    held_out = shards.to_keras(5, shuffle="none", drop_remainder=False, **options)
    history = model.fit(
        seen, epochs=epochs, validation_data=held_out, shuffle=False, verbose=0
    ).history
    said[name] = {
        "history": {name: list(map(float, values)) for name, values in history.items()},
        "steps": int(model.optimizer.iterations),
        "epochs": seen.epochs,
        "changed": [not np.array_equal(*pair) for pair in zip(before, model.get_weights())],
        "evaluated": float(model.evaluate(held_out, verbose=0)[0]),
    }
print(json.dumps(said))
"""


@pytest.fixture(
    scope="module",
    params=[
        "tensorflow",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("torch", "jax")),
    ],
)
def fitted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    if importlib.util.find_spec(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    folder: Path = tmp_path_factory.mktemp("backends") / "shards"
    made = write_dataset(folder)
    said = run(_FIT, made.glob, _EPOCHS, KERAS_BACKEND=request.param)
    assert said["backend"] == request.param
    return made, said


@pytest.mark.parametrize("labels", ["sparse", "one_hot"])
def test_fit_of_two_heads_learns(fitted: tuple[Made, Any], labels: str) -> None:
    _, said = fitted
    history = said[labels]["history"]
    assert history["loss"][-1] < history["loss"][0]
    assert history["val_loss"][-1] < history["val_loss"][0]
    assert {"y0_loss", "y1_loss", "y0_accuracy", "y1_accuracy"} <= history.keys()
    assert all(said[labels]["changed"])
    assert said[labels]["evaluated"] == pytest.approx(history["val_loss"][-1], rel=1e-4)


@pytest.mark.parametrize("labels", ["sparse", "one_hot"])
def test_fit_sees_all_records_of_every_epoch(fitted: tuple[Made, Any], labels: str) -> None:
    made, said = fitted
    batches = open_shards(made.glob).batches(5, rows=True, drop_remainder=False, epochs=_EPOCHS)
    rows = [row for *_, rows in batches for row in rows.tolist()]
    seen = [made.rows[records].tolist() for records in said[labels]["epochs"]]
    # Some backends look at a batch first, as if that were an epoch; it must not count as one.
    looks, seen = seen[:-_EPOCHS], seen[-_EPOCHS:]
    assert all(look == rows[:5] for look in looks)
    assert all(sorted(epoch) == sorted(made.rows) for epoch in seen)
    assert [row for epoch in seen for row in epoch] == rows
    assert said[labels]["steps"] == 8 * _EPOCHS


def test_both_kinds_of_labels_train_alike(fitted: tuple[Made, Any]) -> None:
    _, said = fitted
    losses = [said[labels]["history"]["loss"] for labels in ("sparse", "one_hot")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
