"""An environment packed into an archive, by the commands of docs/spark.md."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
_SOURCES = ("pyproject.toml", "setup.py", "README.md", "LICENSE", "shardio", "converter", "reader")
# What an environment of ours would add to the new one.
_OWN = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")


def commands() -> str:
    """Return the lines of docs/spark.md that make environment.tar.gz."""
    text = (ROOT / "docs" / "spark.md").read_text()
    lines = re.findall(r"^\$ (.*\benvironment\b.*)$", text, re.MULTILINE)
    return "\n".join(line for line in lines if "--engine" not in line and "PYSPARK" not in line)


def bare_python() -> Path:
    """Return the Python that this environment was made from, which has no project of ours."""
    return Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"


def pack(folder: Path) -> Path:
    """Install a copy of the checkout into a new environment; returns its archive."""
    checkout = folder / "checkout"
    checkout.mkdir()
    unwanted = shutil.ignore_patterns("__pycache__", "*.so")  # they are compiled
    for name in _SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, checkout / name, ignore=unwanted)
        else:
            shutil.copy(ROOT / name, checkout / name)
    (folder / "bin").mkdir()
    (folder / "bin" / "python").symlink_to(bare_python())
    ours = {name: value for name, value in os.environ.items() if name not in _OWN}
    made = subprocess.run(
        ["bash", "-euc", commands()],
        cwd=checkout,
        env={**ours, "PATH": f"{folder / 'bin'}:{ours['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    return checkout / "environment.tar.gz"
