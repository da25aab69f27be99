"""The share of `fit` that waits, on each backend of Keras. A sleep lasts as long as it was told."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from reader import StallCallback, open_shards
from tests.reader.datasets import Made
from tests.reader.processes import run

keras = pytest.importorskip("keras", reason="Keras is not installed")
tf = pytest.importorskip("tensorflow")
# What Keras gives to NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

# Seconds of sleep, and the share of it that another clock may see.
_SLEPT, _SEEN = 0.03, 0.9
_SCRIPT = """
import json, sys, time, warnings
warnings.simplefilter("ignore")
import keras
from reader import StallCallback, open_shards

def slow(x, ys, rng):
    time.sleep(0.03)
    return x, ys

class Works(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        time.sleep(0.03)

shards = open_shards(sys.argv[1])
found = {}
for name in ("waits", "works", "tf"):
    image = keras.Input(shards.shape)
    flat = keras.layers.Flatten()(image)
    model = keras.Model(image, [keras.layers.Dense(1)(flat) for _ in shards.labels])
    model.compile("sgd", "mse")
    face = shards.to_tf_dataset if name == "tf" else shards.to_keras
    data = face(5, transform=slow if name == "waits" else None)
    stalls = StallCallback()
    begun = time.perf_counter()
    history = model.fit(
        data, epochs=2, shuffle=False, verbose=0, validation_data=face(5),
        callbacks=[stalls, *([Works()] if name == "works" else [])],
    )
    lasted = time.perf_counter() - begun
    found[name] = stalls._waited(), lasted, history.history["stall"]
print(json.dumps(found))
"""


class Works(keras.callbacks.Callback):  # type: ignore[misc,name-defined]
    """A step that takes its time."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        time.sleep(_SLEPT)


def a_model(shape: tuple[int, ...], **options: Any) -> Any:
    image = keras.Input(shape)
    model = keras.Model(image, keras.layers.Dense(1)(keras.layers.Flatten()(image)))
    model.compile("sgd", "mse", **options)
    return model


def slowly() -> Iterator[tuple[Any, Any]]:
    for _ in range(6):
        time.sleep(_SLEPT)
        yield np.zeros((4, 3), np.float32), np.zeros((4, 1), np.float32)


def kinds_of_iterators() -> dict[Any, Any]:
    from keras.src.trainers.epoch_iterator import EpochIterator

    kinds = [EpochIterator, *EpochIterator.__subclasses__()]
    return {kind: vars(kind).get("_get_iterator") for kind in kinds}


@pytest.mark.parametrize("together", [1, 2])
def test_the_wait_for_a_dataset_is_seen(tmp_path: Path, together: int) -> None:
    spec = (tf.TensorSpec((4, 3)), tf.TensorSpec((4, 1)))
    dataset = tf.data.Dataset.from_generator(slowly, output_signature=spec)
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(6))
    before, stalls = kinds_of_iterators(), StallCallback()
    board = keras.callbacks.TensorBoard(tmp_path)
    model = a_model((3,), steps_per_execution=together)
    history = model.fit(
        dataset, epochs=2, verbose=0, shuffle=False, validation_data=dataset,
        callbacks=[stalls, board],
    ).history  # fmt: skip
    assert stalls._waited() >= 2 * 6 * _SLEPT * _SEEN
    # As slow as the validation is: it is not counted.
    assert stalls._total * history["stall"][-1] >= 6 * _SLEPT * _SEEN
    assert all(0 < share <= 1 for share in history["stall"])
    assert [1 - share for share in history["stall"]] == history["utilisation"]
    assert kinds_of_iterators() == before
    written = EventAccumulator(str(tmp_path / "train"))
    written.Reload()
    assert {"epoch_stall", "epoch_utilisation"} <= set(written.Tags()["tensors"])


def test_work_is_no_wait(made: Made) -> None:
    shards, stalls = open_shards(made.glob), StallCallback()
    data = shards.to_tf_dataset(5, labels=["y0"])
    history = a_model(shards.shape).fit(
        data, epochs=2, shuffle=False, verbose=0, callbacks=[stalls, Works()]
    )
    for share in history.history["utilisation"]:
        assert 0 < share <= 1
    assert stalls._total * history.history["utilisation"][-1] >= len(data) * _SLEPT * _SEEN


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_what_cannot_be_seen_is_said_and_not_logged(made: Made) -> None:
    shards = open_shards(made.glob)
    strategy = tf.distribute.MirroredStrategy(["cpu:0"])
    with strategy.scope():
        model, data = a_model(shards.shape), shards.to_tf_dataset(4, labels=["y0"])
    with pytest.warns(UserWarning, match="cannot see how long fit waits"):
        history = model.fit(data, shuffle=False, verbose=0, callbacks=[StallCallback()])
    assert "stall" not in history.history


def test_a_keras_that_takes_batches_elsewhere_is_said() -> None:
    stalls, logs = StallCallback(), {"loss": 1.0}
    stalls.on_train_begin()
    stalls.on_epoch_begin(0)
    with pytest.warns(UserWarning, match="takes its batches elsewhere"):
        stalls.on_epoch_end(0, logs)
    stalls.on_train_end()
    assert logs == {"loss": 1.0}


@pytest.mark.jobs
@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_other_backends(made: Made, backend: str) -> None:
    pytest.importorskip(backend, reason=f"{backend} is not installed")
    found = run(_SCRIPT, made.glob, KERAS_BACKEND=backend)
    batches = 2 * (37 // 5)
    assert found["waits"][0] >= batches * _SLEPT * _SEEN
    waited, lasted, shares = found["works"]
    assert waited <= lasted - batches * _SLEPT * _SEEN
    for _, _, shares in found.values():
        assert len(shares) == 2
        assert all(0 < share <= 1 for share in shares)
