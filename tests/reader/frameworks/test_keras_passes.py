"""The order of each epoch of Keras's `fit`, with threads of Keras and after a restart."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from reader import open_shards
from shardio.errors import OptionError
from tests.reader.datasets import Made


class Watched(keras.Model):  # type: ignore[misc]
    """Keeps the sums of the batches that it is trained on."""

    def __init__(self) -> None:
        super().__init__()
        self.flat = keras.layers.Flatten()
        self.heads = [keras.layers.Dense(c, activation="softmax") for c in (7, 30)]
        self.seen: list[float] = []

    def call(self, x: Any) -> Any:
        return tuple(head(self.flat(x)) for head in self.heads)

    def train_step(self, data: Any) -> Any:
        self.seen.append(float(np.sum(data[0])))
        return super().train_step(data)


def watched(*, built: bool) -> Watched:
    model = Watched()
    if built:
        model(np.zeros((1, 2, 3, 3), dtype=np.float32))
    model.compile("sgd", loss=["sparse_categorical_crossentropy"] * 2, run_eagerly=True)
    return model


def sums(made: Made, epochs: int) -> list[float]:
    return [float(np.sum(x)) for x, *_ in open_shards(made.glob).batches(5, epochs=epochs)]


@pytest.mark.parametrize("built", [True, False])
def test_threads_of_keras_see_each_epoch_in_its_order(made: Made, built: bool) -> None:
    """They ask for batches before `fit` says that the epoch begins."""
    model = watched(built=built)
    batches = open_shards(made.glob).to_keras(5)
    batches.workers = 3
    model.fit(batches, epochs=3, shuffle=False, verbose=0)
    assert model.seen == pytest.approx(sums(made, 3))


@pytest.mark.parametrize("built", [True, False])
@pytest.mark.parametrize("steps", [1, 2, 3, 7])
def test_epochs_of_fewer_steps_go_on_in_a_pass(made: Made, built: bool, steps: int) -> None:
    """And the next pass has the next order, wherever epochs end: it has 7 batches."""
    model = watched(built=built)
    with warnings.catch_warnings():  # where an epoch ends early, which the other test is about
        warnings.simplefilter("ignore")
        epochs = 21 // steps + 3
        model.fit(
            open_shards(made.glob).to_keras(5),
            epochs=epochs,
            steps_per_epoch=steps,
            shuffle=False,
            verbose=0,
        )
    assert len(model.seen) >= 21
    assert model.seen == pytest.approx(sums(made, 6)[: len(model.seen)])


def test_processes_of_keras_are_refused(made: Made) -> None:
    batches = open_shards(made.glob).to_keras(5)
    batches.use_multiprocessing = False
    with pytest.raises(OptionError, match="each epoch would have the first order"):
        batches.use_multiprocessing = True
    assert not batches.use_multiprocessing


class StopError(Exception):
    pass


class Stop(keras.callbacks.Callback):  # type: ignore[misc]
    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        if epoch == 2:
            raise StopError


# Keras saves weights in a way that NumPy has another one for.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("face", ["to_keras", "to_tf_dataset"])
def test_a_restart_goes_on_with_the_order_of_its_epoch(
    made: Made, tmp_path: Path, face: str
) -> None:
    seen: list[float] = []
    for stops in (True, False):
        saved = tmp_path / "backup" / "training_metadata.json"
        done = json.loads(saved.read_text())["epoch"] if saved.exists() else 0
        model = watched(built=True)
        backup = keras.callbacks.BackupAndRestore(str(saved.parent))
        callbacks = [backup, Stop()] if stops else [backup]
        batches = getattr(open_shards(made.glob), face)(5, start_epoch=done)
        try:
            model.fit(batches, epochs=4, shuffle=False, verbose=0, callbacks=callbacks)
        except StopError:
            assert stops
        seen += model.seen
    assert seen == pytest.approx(sums(made, 4))
