"""What calls of Keras would leave out, repeat or mix up is warned of, and nothing else."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import pytest

from reader import ShardSet, mix, open_shards
from tests.reader.datasets import write_dataset

pytestmark = [
    pytest.mark.filterwarnings("ignore:Your input ran out of data:UserWarning"),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]
FACES = ("to_tf_dataset", "to_keras")


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    """37 records, 9 batches of 4 and one more."""
    return open_shards(write_dataset(tmp_path_factory.mktemp("call") / "set", heads=1).glob)


def model() -> keras.Model:
    image = keras.Input((2, 3, 3))
    output = keras.layers.Dense(7, activation="softmax")(keras.layers.Flatten()(image))
    made = keras.Model(image, output)
    made.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
    return made


def fit(batches: Any, **options: Any) -> None:
    model().fit(batches, shuffle=False, verbose=0, **options)


def evaluate(batches: Any, **options: Any) -> None:
    model().evaluate(batches, verbose=0, **options)


def predict(batches: Any, **options: Any) -> None:
    model().predict(batches, verbose=0, **options)


def validate(batches: Any, **options: Any) -> None:
    """Within a training."""
    x, y = next(iter(batches))[:2] if hasattr(batches, "take") else batches[0]
    model().fit(x, y, validation_data=batches, verbose=0, **options)


Call = Callable[..., None]
LOST = r"leaves out 1 of 37 records, others in each epoch: give it shuffle=\"none\", drop_rem"
ORDER = 'in the order of batches, .*: make them with shuffle="none", drop_remainder=False'
WARNED: Any = {
    "predict": (predict, {}, {}, ORDER),
    "predict all": (predict, {"drop_remainder": False}, {}, ORDER),
    "predict in windows": (predict, {"drop_remainder": False, "shuffle": "window"}, {}, ORDER),
    "predict what is whole": (predict, {"shuffle": "none"}, {}, ORDER),
    "predict with what is filled up": (predict, {"shuffle": "none", "pad": True}, {}, ORDER),
    "evaluate": (evaluate, {}, {}, LOST),
    "validate": (validate, {}, {}, LOST),
    "as stored": (evaluate, {"shuffle": "none"}, {}, "leaves out 1 of 37 records: give it"),
    "one of two": (evaluate, {"worker": (1, 2)}, {}, "leaves out 5 of .* pad=True, with weighted_"),
    "short": (fit, {}, {"steps_per_epoch": 4, "epochs": 3}, "9 batches, .* of 4 steps .* has 1:"),
    "long": (fit, {}, {"steps_per_epoch": 10}, "a pass has 9 batches, .* of 10 steps .* has 9:"),
    "later": (fit, {}, {"initial_epoch": 2, "epochs": 3}, "with epoch 2, .* start_epoch=2$"),
    "endless": (
        fit,
        {"epochs": None},
        {"initial_epoch": 2, "epochs": 3, "steps_per_epoch": 4},
        "start_step=8$",
    ),
}
WHOLE = {"drop_remainder": False, "shuffle": "none"}
QUIET: Any = {
    "predict": (predict, WHOLE, {}),
    "predict some": (predict, {"shuffle": "none"}, {"steps": 3}),
    "evaluate": (evaluate, WHOLE, {}),
    "validate": (validate, WHOLE, {}),
    "filled up": (evaluate, {"pad": True}, {}),
    "as many steps as asked for": (evaluate, {}, {"steps": 3}),
    "validation_steps": (validate, {}, {"validation_steps": 3}),
    "fit": (fit, {}, {"epochs": 2}),
    "thirds": (fit, {}, {"epochs": 4, "steps_per_epoch": 3}),
    "within a pass": (fit, {}, {"epochs": 2, "steps_per_epoch": 4}),
    "without an end": (fit, {"epochs": None}, {"epochs": 3, "steps_per_epoch": 4}),
    "several epochs": (fit, {"epochs": 4}, {"epochs": 9, "steps_per_epoch": 4}),
    "begun later": (fit, {"start_epoch": 2}, {"initial_epoch": 2, "epochs": 3}),
    "as stored": (fit, {"shuffle": "none"}, {"initial_epoch": 2, "epochs": 3}),
}


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("case", WARNED)
def test_what_is_lost_or_repeated_is_said(shards: ShardSet, face: str, case: str) -> None:
    call, options, given, words = WARNED[case]
    with pytest.warns(UserWarning, match=words):
        call(getattr(shards, face)(4, **options), **given)


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("case", QUIET)
def test_nothing_is_said_of_what_is_right(shards: ShardSet, face: str, case: str) -> None:
    call, options, given = QUIET[case]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        call(getattr(shards, face)(4, **options), **given)


@pytest.mark.parametrize("face", FACES)
def test_a_mix_and_a_second_fit_are_as_they_should_be(shards: ShardSet, face: str) -> None:
    batches, mixed = getattr(shards, face)(4), getattr(mix([shards, shards[:5]]), face)(100)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(batches, epochs=2)
        fit(batches, epochs=4, initial_epoch=2)  # the epochs 2 and 3 of the set
        evaluate(mixed)


@pytest.mark.parametrize("face", FACES)
def test_a_backup_that_goes_on_with_a_later_epoch(
    shards: ShardSet, face: str, tmp_path: Path
) -> None:
    class Killed(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            if epoch == 2:
                raise KeyboardInterrupt

    def backup() -> Any:
        return keras.callbacks.BackupAndRestore(str(tmp_path / "backup"))

    with pytest.raises(KeyboardInterrupt):
        fit(getattr(shards, face)(4), epochs=4, callbacks=[backup(), Killed()])
    with pytest.warns(UserWarning, match=r"epoch 2, .* make them with start_epoch=2$"):
        fit(getattr(shards, face)(4), epochs=3, callbacks=[backup()])
