"""The faces of a set, and what is compared with them, as work that counts images."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from reader.measure.stock import shuffle_buffer, stock
from reader.shardset import ShardSet
from shardio.measure.apart import Apart
from shardio.measure.measured import Measured, measured

NUMPY, TF_DATA, KERAS, TORCH, STOCK = "NumPy", "tf.data", "keras", "torch", "stock tf.data"
# What a face needs, and how it is asked for.
_NEEDS = {NUMPY: "numpy", TF_DATA: "tensorflow", KERAS: "keras", TORCH: "torch"}
CALLED = {NUMPY: "batches", TF_DATA: "to_tf_dataset", KERAS: "to_keras", TORCH: "to_torch"}
# What is made once, and what was made ahead while others were measured.
_SETTLE = 0.3

Run = Callable[[float], Measured]


def installed() -> list[str]:
    """Return the faces whose framework is installed; none is imported."""
    found = [name for name, package in _NEEDS.items() if find_spec(package) is not None]
    # Keras brings no backend along, and takes no other one than it is told to.
    return [name for name in found if name != KERAS or find_spec(_keras_backend()) is not None]


def _keras_backend() -> str:
    """Return the package that Keras would import, by its own rules."""
    home = os.environ.get("KERAS_HOME") or os.path.expanduser("~/.keras")
    name = os.environ.get("KERAS_BACKEND")
    with suppress(OSError, ValueError, AttributeError):
        name = name or json.loads(Path(home, "keras.json").read_bytes()).get("backend")
    name = str(name or "tensorflow")
    return name if name in ("torch", "jax") else "tensorflow"


def face_apart(
    shards: ShardSet, face: str, batch_size: int, options: dict[str, Any]
) -> Apart[Measured]:
    """Start a process that reads a face without end; its `run` takes the seconds of a pass."""
    return Apart(begin_face, shards, face, batch_size, options)


def faces_apart(
    shards: ShardSet, faces: Sequence[str], batch_size: int, options: dict[str, Any]
) -> Apart[Measured]:
    """Start a process that reads several faces; its `run` takes one, and the seconds of a pass.

    What they import is imported once.
    """
    return Apart(_begin_faces, shards, faces, batch_size, options)


def _begin_faces(
    shards: ShardSet, faces: Sequence[str], batch_size: int, options: dict[str, Any]
) -> Callable[[str, float], Measured]:
    runs = {face: begin_face(shards, face, batch_size, options) for face in faces}
    return lambda face, seconds: runs[face](seconds)


def begin_face(shards: ShardSet, face: str, batch_size: int, options: dict[str, Any]) -> Run:
    """Begin to read a face without end, and return what goes on with that for some seconds."""
    counts = _counts(shards, face, batch_size, options)

    def run(seconds: float) -> Measured:
        return measured(counts, seconds, _SETTLE)

    return run


def _counts(shards: ShardSet, face: str, batch_size: int, options: dict[str, Any]) -> Iterator[int]:
    options = {**options, "epochs": None}
    if face == NUMPY:
        return counted(shards.batches(batch_size, **options))
    if face == TF_DATA:
        return counted(shards.to_tf_dataset(batch_size, **options))
    if face == TORCH:
        from torch.utils.data import DataLoader

        return counted(DataLoader(shards.to_torch(batch_size, **options), batch_size=None))
    if face == KERAS:
        return _items(shards.to_keras(batch_size, **options))
    return counted(stock(shards, batch_size, shuffled=shuffle_buffer(shards)).repeat())


def counted(batches: Iterable[Any]) -> Iterator[int]:
    """Go through batches; yields how many images each has."""
    for batch in batches:
        x = batch[0] if isinstance(batch, tuple | list) else batch
        yield len(x)


def _items(sequence: Any) -> Iterator[int]:
    """Go through a `PyDataset` without end as Keras does, one item after the other."""
    number = 0
    while True:
        item = sequence[number]
        number += 1
        yield len(item[0] if isinstance(item, tuple) else item)
