from __future__ import annotations

from pathlib import Path

import pytest

from tests.reader.datasets import Made, write_dataset


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return write_dataset(tmp_path / "shards")


@pytest.fixture
def large(tmp_path: Path) -> Made:
    """Shards of many pages."""
    return write_dataset(tmp_path / "shards", (600, 400))
