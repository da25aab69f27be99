"""Scripts that no other test runs name what is there."""

from __future__ import annotations

import ast
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[1] / ".ci"
# What Python compiled may lie beside them.
_FILES = sorted(path for path in SCRIPTS.iterdir() if path.is_file())


@pytest.mark.parametrize("script", _FILES, ids=lambda path: path.name)
def test_what_a_script_imports_of_ours_is_there(script: Path) -> None:
    lines = re.findall(r"^from (?:reader|converter|shardio)\b.*$", script.read_text(), re.MULTILINE)
    for line in lines:
        (statement,) = ast.parse(line).body
        assert isinstance(statement, ast.ImportFrom)
        assert statement.module is not None
        module = importlib.import_module(statement.module)
        for name in statement.names:
            assert hasattr(module, name.name), line
    if script.name == "dist":
        assert len(lines) >= 3


def test_an_environment_is_made_by_a_python_that_can_and_keeps_it(tmp_path: Path) -> None:
    def run(*command: str) -> str:
        ended = subprocess.run(
            command, cwd=SCRIPTS.parent, env=dict(os.environ, PYTHON="false"), capture_output=True
        )
        assert ended.returncode
        return ended.stderr.decode()

    venv = tmp_path / "venv"
    (line,) = run("bash", ".ci/install", str(venv), "convert").splitlines()
    assert line.startswith("shardio needs Python 3.11 or newer, which false is not")
    assert not venv.exists()
    (venv / "bin").mkdir(parents=True)
    (venv / "bin/python").symlink_to("/bin/false")
    line = run("make", "help", f"VENV={venv}", f"PYTHON={sys.executable}")
    assert "is not the Python that" in line
    assert "make clean" in line
