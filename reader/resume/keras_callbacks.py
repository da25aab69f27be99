"""Callbacks of a Keras training that is made of several `fit`s, and what they have counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from reader.resume.save_files import read_arrays, read_values, write_values

_FILE = "callbacks.json"
_Number = (int, float, np.number, type(None))


class OneTraining(keras.callbacks.CallbackList):  # type: ignore[misc]  # keras ships no types
    """Callbacks that see one training, whatever `fit`s it is made of.

    `offset` is the number of batches of the epoch that were trained on before this process.
    """

    def __init__(self, callbacks: list[Any], last: Any, verbose: str | int, epochs: int) -> None:
        shown = [] if verbose == 0 else [keras.callbacks.ProgbarLogger()]
        super().__init__([*callbacks, *shown, last])
        self._verbose, self._epochs = verbose, epochs
        self._begun = False
        self._logs: Any = None
        self.offset = 0

    def attach(self, model: Any, steps: int) -> None:
        """Tell all callbacks of the model and of the steps of an epoch."""
        self.set_model(model)
        self.set_params({"verbose": self._verbose, "epochs": self._epochs, "steps": steps})

    def on_train_begin(self, logs: Any = None) -> None:
        """Begin, at the first `fit` only."""
        if not self._begun:
            self._begun = True
            super().on_train_begin(logs)

    def on_train_end(self, logs: Any = None) -> None:
        """Remember the logs: another `fit` may follow."""
        self._logs = logs

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Count from the beginning of the epoch."""
        super().on_train_batch_begin(self.offset + batch, logs)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Count from the beginning of the epoch."""
        super().on_train_batch_end(self.offset + batch, logs)

    def finish(self) -> None:
        """End the training, also where no `fit` was left to do."""
        self.on_train_begin()
        super().on_train_end(self._logs)


class CallbackStates:
    """What callbacks have counted: their numbers that have changed since training began.

    That is `wait` and `best` of EarlyStopping, for example, and not its `patience`, which may be
    another one after a restart; and arrays in lists, such as the best weights.
    """

    def __init__(self, callbacks: list[Any]) -> None:
        count: Counter[str] = Counter()
        self._callbacks: dict[str, Any] = {}
        for callback in callbacks:
            name = type(callback).__name__
            self._callbacks[f"{name}{count[name]}"] = callback
            count[name] += 1
        self._first = {name: _numbers(callback) for name, callback in self._callbacks.items()}
        self._loaded: dict[str, dict[str, Any]] = {}

    def begin(self) -> None:
        """Set what was loaded, after `on_train_begin` of the callbacks."""
        self._first = {name: _numbers(callback) for name, callback in self._callbacks.items()}
        for name, values in self._loaded.items():
            if name in self._callbacks:
                vars(self._callbacks[name]).update(values)

    def save(self, folder: Path) -> None:
        """Write what has changed."""
        changed: dict[str, Mapping[str, Any]] = {}
        arrays: dict[str, Any] = {}
        for name, callback in self._callbacks.items():
            first = self._first[name]
            changed[name] = {
                key: None if value is None else [isinstance(value, int | np.integer), float(value)]
                for key, value in _numbers(callback).items()
                if key not in first or first[key] != value
            }
            for key, value in vars(callback).items():
                if _is_arrays(value):
                    for number, array in enumerate(value):
                        arrays[f"{name}/{key}/{number:06d}"] = array
        write_values(folder / _FILE, changed)
        np.savez(folder / "callbacks.npz", **arrays)

    def load(self, folder: Path) -> None:
        """Read what had changed, for `begin` to set."""
        texts = read_values(folder / _FILE)
        self._loaded = {
            name: {
                key: None if value is None else int(value[1]) if value[0] else value[1]
                for key, value in values.items()
            }
            for name, values in texts.items()
        }
        for place, array in sorted(read_arrays(folder / "callbacks.npz").items()):
            name, key, _ = place.split("/")
            self._loaded[name].setdefault(key, []).append(array)


def _numbers(callback: Any) -> dict[str, Any]:
    """Return the attributes of a callback that are numbers, or None."""
    return {
        key: value
        for key, value in vars(callback).items()
        if isinstance(value, _Number) and not isinstance(value, bool)
    }


def _is_arrays(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(each, np.ndarray) and each.dtype.kind in "biufc" for each in value)
    )
