"""Scripts that no other test runs name what is there."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[1] / ".ci"


@pytest.mark.parametrize("script", sorted(SCRIPTS.iterdir()), ids=lambda path: path.name)
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
