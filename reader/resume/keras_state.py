"""The variables of a Keras model and the random numbers of its backend, as files of NumPy."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from reader.resume.save_files import read_arrays
from shardio.errors import OptionError


def save_variables(path: Path, variables: Sequence[Any]) -> None:
    """Write the values of variables, in their order."""
    values = {f"{number:06d}": _bits(_value(v)) for number, v in enumerate(variables)}
    np.savez(path, **values)


def load_variables(path: Path, variables: Sequence[Any], what: str) -> None:
    """Give variables their values again.

    Raises OptionError where the file is of others, DatasetError where it is damaged; then none has
    changed.
    """
    found = read_arrays(path)
    values = [found[name] for name in sorted(found)]
    now = [_value(variable) for variable in variables]
    if len(values) != len(now):
        raise OptionError(
            f"{path} is of another model: its {what} has {len(values)} variables, and this one "
            f"{len(now)}. Give the model that it had, or name another folder"
        )
    for value, here, variable in zip(values, now, variables, strict=True):
        if value.shape != here.shape or value.dtype.itemsize != here.dtype.itemsize:
            raise OptionError(
                f"{path} is of another model: {variable.path} was {value.dtype} {value.shape}, and "
                f"is {here.dtype} {here.shape} now. Give the model that it had, or name another "
                "folder"
            )
    for value, here, variable in zip(values, now, variables, strict=True):
        variable.assign(value.view(here.dtype))


def optimizer_name(optimizer: Any) -> str:
    """Return the name of an optimizer, and of one that it wraps."""
    inner = getattr(optimizer, "inner_optimizer", None)
    name = type(optimizer).__name__
    return name if inner is None else f"{name} of {optimizer_name(inner)}"


def check_optimizer(optimizer: Any, saved: str | None, folder: Path) -> None:
    """Raise OptionError for another optimizer than `saved`: its variables may look the same."""
    name = optimizer_name(optimizer)
    if saved not in (None, name):
        raise OptionError(
            f"the save in {folder} is of a training with the optimizer {saved}, and the model has "
            f"{name} now. Give what it had, or name another folder"
        )


def _value(variable: Any) -> Any:
    # Of the variable itself NumPy 2 makes an array with a warning.
    tensor = keras.ops.convert_to_tensor(variable)
    return np.ascontiguousarray(keras.ops.convert_to_numpy(tensor)).reshape(variable.shape)


def _bits(array: Any) -> Any:
    """Return an array of a type that NumPy can write: bfloat16 is written as its bits."""
    return array if array.dtype.kind in "biufc" else array.view(f"u{array.dtype.itemsize}")


class Randomness:
    """The generators of Python, NumPy and torch.

    Keras keeps the seeds of layers in variables; with its torch backend dropout draws from torch's
    generators, which a DataLoader, begun anew by each `fit`, draws from too. So a batch gets what
    the batch before it left, in a training that was interrupted and in one that was not.
    """

    def __init__(self) -> None:
        self._kept: dict[str, Any] | None = None

    def keep(self) -> None:
        """Remember the state of now for the next epoch."""
        self._kept = _draws()

    def let_go(self) -> None:
        """Bring back what was remembered, once."""
        if self._kept is not None:
            _set_draws(self._kept)
            self._kept = None

    def save(self, path: Path, *, within: bool) -> None:
        """Write the state of now, or of the end of the epoch where one has ended."""
        kept = _draws() if within or self._kept is None else self._kept
        np.savez(path, **kept)

    def load(self, path: Path) -> None:
        """Remember the state of a file for the next batch."""
        self._kept = read_arrays(path)


def _draws() -> dict[str, Any]:
    version, numbers, gauss = random.getstate()
    _, keys, place, has_gauss, cached = np.random.get_state()
    found = {
        "python": np.array([version, *numbers], dtype=np.int64),
        "python_gauss": np.array([] if gauss is None else [gauss], dtype=np.float64),
        "numpy": np.asarray(keys),
        "numpy_place": np.array([place, has_gauss], dtype=np.int64),
        "numpy_gauss": np.array([cached], dtype=np.float64),
    }
    if keras.backend.backend() == "torch":
        import torch

        found["torch"] = torch.get_rng_state().numpy()
        for number, state in enumerate(torch.cuda.get_rng_state_all()):
            found[f"cuda{number}"] = state.numpy()
    return found


def _set_draws(draws: dict[str, Any]) -> None:
    version, *numbers = draws["python"].tolist()
    gauss = draws["python_gauss"].tolist()
    random.setstate((version, tuple(numbers), gauss[0] if gauss else None))
    place, has_gauss = draws["numpy_place"].tolist()
    cached = float(draws["numpy_gauss"][0])
    np.random.set_state(("MT19937", draws["numpy"], place, has_gauss, cached))
    if "torch" in draws and keras.backend.backend() == "torch":
        import torch

        torch.set_rng_state(torch.from_numpy(draws["torch"].copy()))
        for number in range(torch.cuda.device_count()):
            if f"cuda{number}" in draws:
                state = torch.from_numpy(draws[f"cuda{number}"].copy())
                torch.cuda.set_rng_state(state, number)
