"""Input that many tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.converter.inputs import write_input


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of 60 good rows; nobody writes to it."""
    return write_input(tmp_path_factory.mktemp("input"), 60)
