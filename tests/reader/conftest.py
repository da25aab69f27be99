from __future__ import annotations

from collections.abc import Iterator
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


@pytest.fixture(scope="session", autouse=True)
def cache_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the cache of whoever runs the tests out of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield
