"""Which faces are measured: those whose framework can be imported, with the backend of Keras."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

# What an environment without a package finds.
_WITHOUT = """
import sys
from importlib.machinery import PathFinder

blocked, find = sys.argv[1].split(), PathFinder.find_spec.__func__
PathFinder.find_spec = classmethod(
    lambda cls, name, *rest: None if name.split(".")[0] in blocked else find(cls, name, *rest)
)
from reader.measure.adaptors import KERAS, installed

found = installed()
try:
    import reader.frameworks.keras_dataset
    told = ""
except ImportError as error:
    told = str(error)
assert (KERAS in found) == (not told), (found, told)
print(" ".join(found), "|", told)
"""


@pytest.mark.speed  # Keras and torch are imported three times
@pytest.mark.parametrize(
    ("without", "backend", "faces", "told"),
    [
        ("tensorflow jax", "", "NumPy torch", "lacks tensorflow: its backend"),
        ("tensorflow jax", "torch", "NumPy keras torch", ""),
        ("tensorflow keras torch jax", "", "NumPy", "needs Keras"),
    ],
)
def test_keras_is_there_with_its_backend(
    tmp_path: Path, without: str, backend: str, faces: str, told: str
) -> None:
    pytest.importorskip("keras")
    pytest.importorskip("torch")
    env = {**os.environ, "KERAS_HOME": str(tmp_path), "KERAS_BACKEND": backend}
    env = {name: value for name, value in env.items() if value}
    ran = subprocess.run(
        [sys.executable, "-c", _WITHOUT, without], env=env, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    found, _, said = ran.stdout.partition(" | ")
    assert found == faces
    assert told in said
    assert bool(told) == bool(said.strip())
