"""A training with Keras that is killed at moments that a seed chooses, and one that is not.

Each attempt is a fork of this process, which has imported Keras and not used it. A layer computes a
number from the pixels of each batch, so that the log says which records a step was trained on.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tests.changes import Changes

BATCH = 5
EVERY = 3


def factors(shape: tuple[int, ...]) -> Any:
    """Return what pixels are multiplied with; sums of a batch are exact in float32."""
    return (np.arange(np.prod(shape)) * 37 % 101).reshape(shape).astype(np.float32)


def train(glob: str, face: str, folder: Path, log: Path, epochs: int) -> dict[str, Any]:
    """Train, and write a line for every step: epoch, step, the number of its batch."""
    import keras

    from reader import open_shards, resume

    class Mark(keras.layers.Layer):  # type: ignore[misc]
        def build(self, shape: Any) -> None:
            self.factors = keras.ops.convert_to_tensor(factors(tuple(shape[1:])))
            self.mark = self.add_weight(shape=(), initializer="zeros", trainable=False)

        def call(self, x: Any, training: bool = False) -> Any:
            pixels = keras.ops.cast(x, "float32")
            if training:
                self.mark.assign(keras.ops.sum(pixels * self.factors))
            return pixels / 255

    class Log(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.epoch = epoch

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if keras.backend.backend() == "jax":
                self.model.jax_state_sync()
            line = f"{self.epoch} {batch} {int(self.model.get_layer('mark').mark)}\n"
            os.write(descriptor, line.encode())

    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    shards = open_shards(glob)
    keras.utils.set_random_seed(1)
    image = keras.Input(shards.shape)
    x = keras.layers.Flatten()(Mark(name="mark")(image))
    x = keras.layers.Dropout(0.5)(keras.layers.BatchNormalization()(x))
    heads = [keras.layers.Dense(n, activation="softmax")(x) for n in shards.classes]
    model = keras.Model(image, heads)
    kinds = ["sparse_categorical_crossentropy"] * 2
    model.compile(keras.optimizers.Adam(0.01), loss=kinds, metrics=["accuracy", "accuracy"])
    callbacks = [
        Log(),
        keras.callbacks.EarlyStopping(monitor="val_loss", patience=500, restore_best_weights=True),
        keras.callbacks.ModelCheckpoint(str(folder / "best.keras"), save_best_only=True),
        keras.callbacks.ReduceLROnPlateau(monitor="loss", patience=2, factor=0.7),
    ]
    held_out = shards.to_tf_dataset if face == "to_tf_dataset" else shards.to_keras
    history = resume.fit(
        model,
        partial(getattr(shards, face), BATCH, dtype="uint8"),
        folder / "saves",
        epochs=epochs,
        every=EVERY,
        minutes=None,
        callbacks=callbacks,
        verbose=0,
        validation_data=held_out(BATCH, dtype="uint8", shuffle="none", drop_remainder=False),
    )
    return {
        "history": history.history,
        "epochs": history.epoch,
        "weights": [np.asarray(weights).tobytes().hex() for weights in model.get_weights()],
        "best": float(callbacks[1].best),
        "rate": float(model.optimizer.learning_rate),
    }


def attempt(work: Callable[[], dict[str, Any]], out: Path, end_before: int | None = None) -> int:
    """Fork a process that works and writes its result, or is killed before a change to files.

    Returns its exit code.
    """
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        changes = Changes(str(out.parent), end_before)
        result = json.dumps(work() | {"changes": changes.count})
        out.write_text(result)
        os._exit(0)
    except BaseException:
        import traceback

        traceback.print_exc()
        os._exit(1)


def main() -> None:
    """Train undisturbed and killed; print what both have logged and ended with.

    All kills together leave some of the training to be done, so that none comes too late.
    """
    glob, face, folder, kills, epochs, seed = sys.argv[1:]
    import keras

    draw = random.Random(int(seed))
    said: dict[str, Any] = {"backend": keras.backend.backend(), "killed_before": []}
    for name, count in (("whole", 0), ("killed", int(kills))):
        home = Path(folder) / name
        home.mkdir()
        log, out = home / "log", home / "result.json"
        work = partial(train, glob, face, home, log, int(epochs))
        for _ in range(count):
            change = draw.randrange(said["whole"]["changes"] // (count + 1))
            said["killed_before"].append(change)
            assert attempt(work, out, change) == -signal.SIGKILL, said["killed_before"]
        assert attempt(work, out) == 0
        said[name] = json.loads(out.read_text())
        said[f"{name}_log"] = [[int(n) for n in line.split()] for line in log.open()]
    print(json.dumps(said))
