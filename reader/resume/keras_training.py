"""One training of a Keras model that goes on from its last save.

Keras takes the number of steps of the first epoch that it sees for that of all. So the rest of an
epoch is a `fit` of its own, with its own `steps_per_epoch`, and the epochs after it are another
one; callbacks see one training.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from reader.batching.batch_maker import BatchMaker
from reader.frameworks.calling_model import refuse_outputs_by_name
from reader.frameworks.model_outputs import check_units
from reader.resume.keras_callbacks import CallbackStates, OneTraining
from reader.resume.keras_state import (
    Randomness,
    check_optimizer,
    load_variables,
    optimizer_name,
    save_variables,
)
from reader.resume.save_files import read_values, write_values
from reader.resume.saves import Saves
from reader.resume.stream import identity_of, maker_of
from shardio.errors import OptionError, StorageError

_VERSION = 1
_STATE = "training.json"


class KerasTraining:
    """A training of `epochs` epochs with its saves."""

    def __init__(
        self,
        model: keras.Model,
        maker: BatchMaker,
        saves: Saves,
        epochs: int,
        every: int | None,
        minutes: float | None,
        callbacks: list[keras.callbacks.Callback],
        verbose: str | int,
    ) -> None:
        _check(model, maker, callbacks)
        self._model = model
        self._saves = saves
        self._epochs = epochs
        self._every, self._seconds = every, None if minutes is None else minutes * 60
        self._steps = maker.steps
        self._stream = identity_of(maker)
        self._history = keras.callbacks.History()
        self._states = CallbackStates(callbacks)
        self._random = Randomness()
        self._list = OneTraining([*callbacks, self._history], _Saver(self), verbose, epochs)
        # Batches that were trained on, and what the last save had of them.
        self._done = self._saved = 0
        self._saved_at = time.monotonic()
        self._stopped = self._finished = False
        # Of an epoch that was interrupted, until it begins again.
        self._metrics: Path | None = None
        self._epochs_before: list[int] = []

    def run(self, data: Callable[..., Any], options: Mapping[str, Any]) -> keras.callbacks.History:
        """Train what is left; `data` makes the stream from a step on."""
        self._load(data)
        last = self._epochs * self._steps
        self._list.attach(self._model, self._steps)
        if self._finished and (self._stopped or self._done >= last):
            return self._history
        while self._done < last and not self._stopped:
            epoch, step = divmod(self._done, self._steps)
            stream = self._from(data)
            if isinstance(stream, keras.utils.PyDataset):
                # Threads of Keras would begin again with the first index in each epoch.
                stream.workers = 1
            self._list.offset = step
            self._model.fit(
                stream,
                epochs=epoch + 1 if step else self._epochs,
                initial_epoch=epoch,
                steps_per_epoch=self._steps - step,
                shuffle=False,
                verbose=0,
                callbacks=self._list,
                **options,
            )
            self._stopped = self._model.stop_training
        self._list.finish()
        self._finished = True
        self.save()
        return self._history

    def _from(self, data: Callable[..., Any]) -> Any:
        """Return the stream from the next batch on; raises OptionError where it is another one."""
        stream = data(epochs=None, start_step=self._done)
        maker = maker_of(stream)
        if maker.start_step != self._done or identity_of(maker) != self._stream:
            raise OptionError(
                "data must make the same stream at each call, and hand on epochs= and start_step= "
                "to to_tf_dataset or to_keras"
            )
        check_units(self._model, stream, maker)
        return stream

    def begin(self) -> None:
        """Bring back what `on_train_begin` of callbacks has reset."""
        self._states.begin()
        self._history.epoch = list(self._epochs_before)
        self._saved_at = time.monotonic()

    def begin_epoch(self) -> None:
        """Bring back the metrics of an epoch that was interrupted, which `fit` has reset."""
        if self._metrics is not None:
            load_variables(self._metrics, self._model.metrics_variables, "metrics")
            self._metrics = None

    def begin_batch(self) -> None:
        """Let the batch draw the random numbers that it would have drawn."""
        self._random.let_go()

    def end_batch(self, step: int) -> None:
        """Save, if it is time, what was trained up to a step; the last one waits for its epoch."""
        self._done = self._done // self._steps * self._steps + step + 1
        if step + 1 < self._steps and not self._model.stop_training and self._is_due():
            self.save()

    def end_epoch(self, epoch: int) -> None:
        """Save, if it is time, after validation and all callbacks."""
        step = self._done - epoch * self._steps
        if step != self._steps and not self._model.stop_training:
            raise OptionError(
                f"epoch {epoch} ended at step {step} of {self._steps}: data must return an endless "
                "stream"
            )
        self._stopped = self._model.stop_training
        self._random.keep()
        if self._is_due():
            self.save()

    def _is_due(self) -> bool:
        if self._every is not None and self._done - self._saved >= self._every:
            return True
        return self._seconds is not None and time.monotonic() - self._saved_at >= self._seconds

    def save(self) -> None:
        """Save everything together; raises StorageError where the folder takes no file."""
        try:
            self._save()
        except OSError as error:
            last = "there is none before it"
            if self._saves.latest is not None:
                last = "the last one is whole: the same call goes on from there"
            raise StorageError(f"{self._saves.folder} takes no save ({error}); {last}") from error

    def _save(self) -> None:
        model = self._model
        if keras.backend.backend() == "jax":
            model.jax_state_sync()
        within = bool(self._done % self._steps)
        with self._saves.new() as folder:
            save_variables(folder / "model.npz", model.variables)
            save_variables(folder / "optimizer.npz", model.optimizer.variables)
            metrics = model.metrics_variables if within else []
            save_variables(folder / "metrics.npz", metrics)
            self._random.save(folder / "random.npz", within=within)
            self._states.save(folder)
            state = {
                "version": _VERSION,
                "stream": self._stream,
                "optimizer": optimizer_name(model.optimizer),
                "done": self._done,
                "stopped": self._stopped,
                "finished": self._finished,
                "history": _plain(self._history.history),
                "epochs": list(getattr(self._history, "epoch", [])),
            }
            write_values(folder / _STATE, state)
        self._saved, self._saved_at = self._done, time.monotonic()

    def _load(self, data: Callable[..., Any]) -> None:
        """Bring back the last save, if there is one."""
        folder = self._saves.latest
        if folder is None:
            return
        state: dict[str, Any] = read_values(folder / _STATE)
        if state.get("version") != _VERSION:
            raise OptionError(f"{folder} is a save of another version; name another folder")
        for name, now in self._stream.items():
            before = state["stream"].get(name)
            if before != now:
                change = f"another {name}: it was {before!r}, and is {now!r} now"
                if name == "dataset":
                    change = "other shards, or another part of them"
                raise OptionError(
                    f"the save in {self._saves.folder} is of a training with {change}. Give what "
                    "it had, or name another folder"
                )
        check_optimizer(self._model.optimizer, state.get("optimizer"), self._saves.folder)
        self._done = self._saved = state["done"]
        self._stopped, self._finished = state["stopped"], state["finished"]
        model = self._model
        if self._done % self._steps or not model.built:
            # Metrics, and models without an Input, exist after they have seen a batch.
            batch = _first(self._from(data))
            x, y, weight = keras.utils.unpack_x_y_sample_weight(batch)
            model.test_on_batch(x, y, weight)
            model.reset_metrics()
        model.optimizer.build(model.trainable_variables)
        load_variables(folder / "model.npz", model.variables, "model")
        load_variables(folder / "optimizer.npz", model.optimizer.variables, "optimizer")
        if self._done % self._steps:
            self._metrics = folder / "metrics.npz"
        self._random.load(folder / "random.npz")
        self._states.load(folder)
        self._history.history = {name: list(values) for name, values in state["history"].items()}
        self._history.epoch = self._epochs_before = state["epochs"]


class _Saver(keras.callbacks.Callback):  # type: ignore[misc]  # keras ships no types
    """Tells a training where Keras is. It comes last, after all other callbacks."""

    def __init__(self, training: KerasTraining) -> None:
        super().__init__()
        self._training = training

    def on_train_begin(self, logs: Any = None) -> None:
        self._training.begin()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._training.begin_epoch()

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self._training.begin_batch()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._training.end_batch(batch)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._training.end_epoch(epoch)


def _check(
    model: keras.Model, maker: BatchMaker, callbacks: list[keras.callbacks.Callback]
) -> None:
    """Raise OptionError for what could not go on with the very next sample."""
    if maker.options.share[1] > 1:
        raise OptionError(
            "resume.fit is for one process, and this set is shared by "
            f"{maker.options.share[1]} workers"
        )
    if maker.options.epochs is not None:
        raise OptionError("data must hand on epochs= and start_step= to to_tf_dataset or to_keras")
    if not maker.options.as_dict:
        refuse_outputs_by_name(model, maker.spec.heads)
    if getattr(model, "optimizer", None) is None:
        raise OptionError("compile the model before resume.fit")
    if getattr(model, "steps_per_execution", 1) != 1:
        raise OptionError("resume.fit needs a model that is compiled with steps_per_execution=1")
    if any(isinstance(each, keras.callbacks.BackupAndRestore) for each in callbacks):
        raise OptionError("resume.fit saves and brings back itself: leave out BackupAndRestore")


def _first(stream: Any) -> Any:
    """Return the first batch of a stream, in NumPy: JAX takes no tensors of TensorFlow."""
    batch = stream[0] if isinstance(stream, keras.utils.PyDataset) else next(iter(stream))
    return keras.tree.map_structure(np.asarray, batch)


def _plain(history: Mapping[str, Any]) -> dict[str, list[float]]:
    return {name: [float(value) for value in values] for name, values in history.items()}
