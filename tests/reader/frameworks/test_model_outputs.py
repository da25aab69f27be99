"""Models whose outputs lack units for classes are refused, and no right one is."""

from __future__ import annotations

import importlib.util
from functools import partial
from pathlib import Path
from typing import Any

import keras
import pytest

from reader import open_shards, resume
from shardio.errors import OptionError
from tests.reader.datasets import write_dataset
from tests.reader.processes import run

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:the evaluation leaves out:UserWarning"),
]
SPARSE, ONE_HOT = "sparse_categorical_crossentropy", "categorical_crossentropy"
FACES = ("to_tf_dataset", "to_keras")


def model_of(units: Any, loss: Any = SPARSE, named: bool = False) -> keras.Model:
    """Return a model with an output for each of `units`, y0, y1 and so on."""
    image = keras.Input((2, 3, 3))
    x = keras.layers.Flatten()(image)
    heads = {
        f"y{head}": keras.layers.Dense(count, activation="sigmoid", name=f"y{head}")(x)
        for head, count in enumerate(units)
    }
    model = keras.Model(image, heads if named else [*heads.values()])
    losses = dict.fromkeys(heads, loss) if named else [loss] * len(heads)
    model.compile("sgd", losses, run_eagerly=True)  # making a graph takes longer than its steps
    return model


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """37 records of 7 and 30 classes."""
    return open_shards(write_dataset(tmp_path_factory.mktemp("units") / "set").glob)


REFUSED: Any = [
    ((6, 30), SPARSE, {}, "label 'y0' has 7 classes, and output 1 .* 6 units: give it 7"),
    ((7, 3), SPARSE, {}, "label 'y1' has 30 classes, and output 2 .* 3 units"),
    ((7, 3), keras.losses.SparseCategoricalCrossentropy(), {}, "label 'y1'"),
    ((7, 3), keras.losses.sparse_categorical_crossentropy, {}, "label 'y1'"),
    ((7, 3), SPARSE, {"as_dict": True}, "output 'y1'"),
    ((3,), SPARSE, {"labels": ["y1"]}, "label 'y1'"),
    ((7, 31), ONE_HOT, {"one_hot": True}, "label 'y1' .* 31 units: give it 30"),
    ((7, 30, 2), SPARSE, {}, r"2 labels \(y0, y1\), and the model 3 outputs"),
    ((7,), SPARSE, {}, "2 labels .* 1 output:"),
]


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize(("units", "loss", "options", "words"), REFUSED)
def test_outputs_that_lack_units_are_refused(
    shards: Any, face: str, units: Any, loss: Any, options: Any, words: str, tmp_path: Path
) -> None:
    model = model_of(units, loss, named="as_dict" in options)
    batches = partial(getattr(shards, face), 5, **options)
    with pytest.raises(OptionError, match=words):
        model.evaluate(batches(), verbose=0)
    with pytest.raises(OptionError, match=words):
        model.fit(batches(), shuffle=False, verbose=0)
    with pytest.raises(OptionError, match=words):
        resume.fit(model, batches, tmp_path / "saves", epochs=1)


def test_one_loss_is_that_of_each_output(shards: Any) -> None:
    model = model_of((7, 3))
    model.compile("sgd", SPARSE)
    with pytest.raises(OptionError, match="label 'y1' has 30 classes, and output 2"):
        model.evaluate(shards.to_keras(5), verbose=0)
    right = model_of((7, 30))
    right.compile("sgd", SPARSE, run_eagerly=True)
    right.evaluate(shards.to_keras(5), verbose=0)


@pytest.mark.parametrize("face", FACES)
def test_a_right_training_is_not_refused(shards: Any, face: str) -> None:
    few = shards.where(y0=[0, 1, 2])
    ignores = keras.losses.SparseCategoricalCrossentropy(ignore_class=6)
    first = {"labels": ["y0"]}
    right: Any = [
        (shards, (8, 40), SPARSE, {}),  # more units than classes
        (few, (3, 30), SPARSE, {}),  # a part that has no other classes
        (shards, (6,), ignores, first),
        (shards, (1,), "mse", first),
        (shards, (1,), "binary_crossentropy", first),
        (shards, (3,), SPARSE, first | {"transform": lambda x, y, rng: (x, y % 3)}),
        (shards, (7, 30), ONE_HOT, {"one_hot": True}),
    ]
    for some, units, loss, options in right:
        batches = getattr(some, face)(5, shuffle="none", drop_remainder=False, **options)
        model_of(units, loss).evaluate(batches, verbose=0)


class Fewer(keras.utils.PyDataset):  # type: ignore[misc]
    """Batches with labels of a caller's own."""

    def __init__(self, batches: Any) -> None:
        super().__init__()
        self.batches = batches

    @property
    def num_batches(self) -> int | None:
        return self.batches.num_batches  # type: ignore[no-any-return]

    def __getitem__(self, index: int) -> Any:
        x, y = self.batches[index]
        return x, y % 3


def test_labels_that_a_caller_makes_of_ours_are_the_callers_own(
    shards: Any, tmp_path: Path
) -> None:
    data = Fewer(shards.to_keras(5, labels=["y0"]))
    model_of((3,)).fit(data, validation_data=data, shuffle=False, verbose=0)

    def mapped(**place: Any) -> Any:
        return shards.to_tf_dataset(5, labels=["y0"], **place).map(lambda x, y: (x, y % 3))

    resume.fit(model_of((3,)), mapped, tmp_path / "saves", epochs=1, verbose=0)


def test_a_mapped_stream_and_a_sequential(shards: Any) -> None:
    model = keras.Sequential([keras.Input((2, 3, 3)), keras.layers.Flatten()])
    model.add(keras.layers.Dense(3, activation="softmax"))
    model.compile("sgd", SPARSE)
    data = shards.to_tf_dataset(5, labels=["y0"])
    model.fit(data.map(lambda x, y: (x, y % 3)), shuffle=False, verbose=0)
    with pytest.raises(OptionError, match="label 'y0' has 7 classes"):
        model.fit(data, shuffle=False, verbose=0)


_BACKEND = """
import json, sys
import keras
from reader import open_shards
from shardio.errors import OptionError
from tests.reader.frameworks.test_model_outputs import model_of

said = []
for units in ((7, 3), (7, 30)):
    try:
        model_of(units).fit(open_shards(sys.argv[1]).to_keras(5), shuffle=False, verbose=0)
        said.append("trained")
    except OptionError as error:
        said.append(str(error))
print(json.dumps(said))
"""


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_each_backend_refuses_the_same(tmp_path: Path, backend: str) -> None:
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    refused, trained = run(_BACKEND, write_dataset(tmp_path / "set").glob, KERAS_BACKEND=backend)
    assert "label 'y1' has 30 classes, and output 2 of the model" in refused
    assert trained == "trained"
