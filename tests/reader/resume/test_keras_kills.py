"""`resume.fit` sees the samples that it would have seen, whenever it is killed."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reader import open_shards
from tests.reader.datasets import write_dataset
from tests.reader.processes import run
from tests.reader.resume.killed import BATCH, EVERY, factors

_SCRIPT = "from tests.reader.resume.killed import main; main()"
FACES = ("to_tf_dataset", "to_keras")
BACKENDS = ("tensorflow", "torch", "jax")


def marks(glob: str, epochs: int) -> list[list[int]]:
    """Return epoch, step and number of each step of a training that nobody has killed."""
    shards = open_shards(glob)
    batches = shards.batches(BATCH, dtype="uint8", epochs=epochs)
    weights = factors(shards.shape)
    return [
        [*divmod(number, len(batches)), int((batch[0] * weights).sum())]
        for number, batch in enumerate(batches)
    ]


def check(said: dict[str, Any], expected: list[list[int]]) -> None:
    assert said["whole_log"] == expected
    at = 0
    for epoch, step, mark in said["killed_log"]:
        place = expected.index([epoch, step, mark])
        # The next step, or one after the last save: at the end of an epoch it waits for callbacks.
        assert place == at or at - EVERY - 1 <= place < at, said["killed_before"]
        at = place + 1
    assert at == len(expected)
    assert said["killed"]["history"].keys() == said["whole"]["history"].keys()
    assert said["killed"]["epochs"] == said["whole"]["epochs"]
    for name, values in said["whole"]["history"].items():
        assert said["killed"]["history"][name] == pytest.approx(values, rel=1e-5), name
    for name in ("best", "rate"):
        assert said["killed"][name] == pytest.approx(said["whole"][name])
    assert said["killed"]["weights"] == said["whole"]["weights"]


def try_kills(face: str, backend: str, folder: Path, kills: int, seed: int) -> None:
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    glob, epochs = write_dataset(folder / "shards").glob, kills + 2
    expected = marks(glob, epochs)
    assert len(np.unique([mark for *_, mark in expected])) == len(expected)
    said = run(_SCRIPT, glob, face, folder, kills, epochs, seed, KERAS_BACKEND=backend)
    assert said["backend"] == backend
    check(said, expected)


# Thirty kills for each backend of Keras.
@pytest.mark.kills
@pytest.mark.parametrize("seed", range(1, 6))
@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_training_that_is_killed_goes_on(
    face: str, backend: str, seed: int, tmp_path: Path
) -> None:
    try_kills(face, backend, tmp_path, 3, seed)
