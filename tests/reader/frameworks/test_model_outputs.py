"""Outputs of too few units are refused: labels beyond them would be trained as nothing."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import keras
import pytest

from reader import ShardSet, open_shards, resume
from reader.frameworks.model_outputs import GivenLabels
from reader.resume.stream import maker_of
from shardio.errors import OptionError
from tests.reader.datasets import CLASSES, write_dataset
from tests.reader.processes import run

SPARSE = "sparse_categorical_crossentropy"
# How a loss is given, and whether it takes integers as classes.
LOSSES: dict[str, tuple[Any, bool]] = {
    "a name": (SPARSE, True),
    "an object": (keras.losses.SparseCategoricalCrossentropy(from_logits=True), True),
    "a function": (keras.losses.sparse_categorical_crossentropy, True),
    "a list": ([SPARSE, SPARSE], True),
    "a dict": ({"y0": SPARSE, "y1": SPARSE}, True),
    "one that ignores a class": (keras.losses.SparseCategoricalCrossentropy(ignore_class=8), False),
    "numbers": ("mse", False),
}
FORMS = ("list", "dict", "named list")
MATCH = (
    f"output for y1 has {CLASSES[1] - 1} units, and y1 has {CLASSES[1]} classes: labels from "
    f"{CLASSES[1] - 1} on would be trained as nothing; give the output {CLASSES[1]} units"
)


@pytest.fixture
def shards(tmp_path: Path) -> ShardSet:
    return open_shards(write_dataset(tmp_path / "set").glob)


def model_of(shards: ShardSet, form: str, loss: Any, fewer: int) -> keras.Model:
    """A model whose last head has so many units fewer than its label has classes."""
    image = keras.Input(shards.shape)
    x = keras.layers.Flatten()(image)
    units = [*shards.classes[:-1], shards.classes[-1] - fewer]
    heads = {
        label.name: keras.layers.Dense(count, name=label.name, activation="softmax")(x)
        for label, count in zip(shards.labels, units, strict=True)
    }
    model = keras.Model(image, heads if form == "dict" else [*heads.values()])
    model.compile("sgd", loss)
    return model


def check(shards: ShardSet, model: keras.Model, form: str = "list", **options: Any) -> None:
    data = shards.to_keras(5, as_dict=form != "list", **options)
    GivenLabels.of(maker_of(data)).check(model)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", LOSSES)
def test_of_each_way_to_give_a_loss_those_of_classes_count(
    shards: ShardSet, form: str, kind: str
) -> None:
    loss, takes_classes = LOSSES[kind]
    if takes_classes:
        with pytest.raises(OptionError, match=MATCH):
            check(shards, model_of(shards, form, loss, 1), form)
    else:
        check(shards, model_of(shards, form, loss, 1), form)
    for fewer in (0, -5):
        check(shards, model_of(shards, form, loss, fewer), form)


@pytest.mark.parametrize("face", ["to_tf_dataset", "to_keras"])
def test_nothing_is_trained_or_evaluated(shards: ShardSet, face: str, tmp_path: Path) -> None:
    model = model_of(shards, "list", SPARSE, 1)
    data = partial(getattr(shards, face), 5)
    with pytest.raises(OptionError, match=MATCH):
        model.fit(data(), shuffle=False, verbose=0)
    with pytest.raises(OptionError, match=MATCH):
        model.evaluate(data(), verbose=0)
    with pytest.raises(OptionError, match=MATCH):
        resume.fit(model, data, tmp_path / "saves", epochs=1)
    model.predict(data(), verbose=0)


def test_one_head_is_held_against_its_own_output(shards: ShardSet) -> None:
    image = keras.Input(shards.shape)
    model = keras.Model(image, keras.layers.Dense(CLASSES[1] - 1)(keras.layers.Flatten()(image)))
    model.compile("sgd", SPARSE)
    with pytest.raises(OptionError, match=MATCH):
        check(shards, model, labels=["y1"])
    with pytest.raises(OptionError, match=MATCH):
        check(shards, model, "dict", labels=["y1"])
    check(shards, model, labels=["y0"])
    layers = [keras.Input(shards.shape), keras.layers.Flatten(), keras.layers.Dense(CLASSES[1] - 1)]
    sequential = keras.Sequential(layers)
    sequential.compile("sgd", SPARSE)
    with pytest.raises(OptionError, match=MATCH):
        check(shards, sequential, labels=["y1"])


def test_what_the_set_cannot_know_is_left_alone(shards: ShardSet) -> None:
    model = model_of(shards, "list", SPARSE, 1)
    check(shards, model, one_hot=True)
    check(shards, model, transform=lambda x, ys, rng: (x, ys))
    few = model_of(shards, "list", SPARSE, 1)
    with pytest.warns(UserWarning, match=f"{MATCH}.*, unless this part of the set has none"):
        check(shards.where(y1=[0, 1, 2]), few)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_it_is_the_same_under_each_backend(shards: ShardSet, backend: str) -> None:
    pytest.importorskip(backend)
    script = """
import json, sys, keras
from reader import open_shards
shards = open_shards(sys.argv[1])
image = keras.Input(shards.shape)
x = keras.layers.Flatten()(image)
model = keras.Model(image, [keras.layers.Dense(classes - 1)(x) for classes in shards.classes])
model.compile("sgd", "sparse_categorical_crossentropy")
try:
    model.fit(shards.to_keras(5), shuffle=False, verbose=0)
except Exception as error:
    print(json.dumps([keras.backend.backend(), type(error).__name__]))
"""
    folder = str(Path(shards.shards[0].path).parent)
    assert run(script, folder, KERAS_BACKEND=backend) == [backend, "OptionError"]
