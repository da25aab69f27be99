"""The files of a save: arrays, and values as JSON, each with a check sum."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from shardio.errors import DatasetError


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read what `np.savez` wrote; raises DatasetError for a file that is damaged or gone."""
    try:
        # NumPy leaves a file that it cannot read open.
        with path.open("rb") as file, np.load(file) as arrays:
            return dict(arrays)
    # An empty archive is no array of NumPy's to it.
    except (OSError, EOFError, ValueError, AttributeError, BadZipFile) as error:
        raise _damaged(path, error) from error


def write_values(path: Path, values: Any) -> None:
    """Write values that JSON takes."""
    text = json.dumps({"sha256": _digest(values), "values": values})
    path.write_text(text, encoding="utf-8")


def read_values(path: Path) -> Any:
    """Read what `write_values` wrote; raises DatasetError for a file that is damaged or gone."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        values = found["values"]
        if found["sha256"] != _digest(values):
            raise ValueError("its SHA-256 differs")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(path, error) from error
    return values


def _digest(values: Any) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()


def _damaged(path: Path, error: Exception) -> DatasetError:
    saves = path.parent.parent
    return DatasetError(
        f"{path}, of the last save, cannot be read ({error or type(error).__name__}); remove "
        f"{saves} to begin from the start"
    )
