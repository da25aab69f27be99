"""A Keras model whose outputs are a dict: labels reach their own heads, or are refused."""

from __future__ import annotations

import warnings
import weakref
from functools import partial
from pathlib import Path
from typing import Any

import keras
import pytest

from reader import open_shards, resume
from shardio.errors import OptionError
from tests.reader.datasets import write_dataset

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:the evaluation leaves out:UserWarning"),
]


def model_of(shards: Any, as_dict: bool = True) -> keras.Model:
    image = keras.Input(shards.shape)
    x = keras.layers.Flatten()(image)
    heads = {
        label.name: keras.layers.Dense(label.classes, name=label.name, activation="softmax")(x)
        for label in shards.labels
    }
    model = keras.Model(image, heads if as_dict else [*heads.values()])
    loss = "sparse_categorical_crossentropy"
    losses: Any = dict.fromkeys(heads, loss) if as_dict else [loss] * len(heads)
    model.compile("sgd", losses, run_eagerly=True)  # making a graph takes longer than its steps
    return model


@pytest.mark.parametrize("face", ["to_tf_dataset", "to_keras"])
def test_labels_reach_their_own_heads_or_are_refused(tmp_path: Path, face: str) -> None:
    sorted_, other = (
        open_shards(write_dataset(tmp_path / names[0], names=names).glob)
        for names in (("alpha", "zeta"), ("zeta", "alpha"))
    )
    runs: dict[str, dict[str, Any]] = {"fit": {"shuffle": False}, "evaluate": {}}
    for run, options in runs.items():
        options["verbose"] = 0
        model = model_of(other)
        with pytest.raises(OptionError, match=r"\(alpha, zeta\).*\(zeta, alpha\).*as_dict=True"):
            getattr(model, run)(getattr(other, face)(5), **options)
        getattr(model, run)(getattr(other, face)(5, as_dict=True), **options)
        getattr(model_of(other, False), run)(getattr(other, face)(5), **options)
        getattr(model_of(sorted_), run)(getattr(sorted_, face)(5), **options)
    model.predict(getattr(other, face)(5, shuffle="none", drop_remainder=False), verbose=0)
    with pytest.raises(OptionError, match="as_dict=True"):
        resume.fit(model, partial(getattr(other, face), 5), tmp_path / "saves", epochs=1)


def test_a_dataset_of_tensorflow_is_forgotten_as_before(tmp_path: Path) -> None:
    data = open_shards(write_dataset(tmp_path / "a").glob).to_tf_dataset(5)
    maker = weakref.ref(data._shardio_maker)
    assert int(data.cardinality()) == len(data) == 7
    del data
    assert maker() is None


@pytest.mark.parametrize("face", ["to_tf_dataset", "to_keras"])
def test_metrics_that_count_what_is_filled_up_are_told(tmp_path: Path, face: str) -> None:
    """37 records are no whole number of batches of 5, but of 37."""
    shards = open_shards(write_dataset(tmp_path / "set").glob)
    for size, how, warns in ((5, "metrics", 1), (37, "metrics", 0), (5, "weighted_metrics", 0)):
        model = model_of(shards, as_dict=False)
        metrics: dict[str, Any] = {how: [["accuracy"]] * len(shards.labels)}
        loss = ["sparse_categorical_crossentropy"] * len(shards.labels)
        model.compile("sgd", loss, run_eagerly=True, **metrics)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            model.evaluate(getattr(shards, face)(size, pad=True, shuffle="none"), verbose=0)
        found = [x for x in told if "weighted_metrics= in their place" in str(x.message)]
        assert bool(found) == bool(warns)
