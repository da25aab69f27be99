"""What tests of parts of sets share."""

from __future__ import annotations

from typing import Any

import pytest

from reader.sets import kept_array


@pytest.fixture(scope="module", params=[True, False], ids=["in memory", "in files"])
def small(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Lists of a few records are kept in memory, or in files as large ones are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        if not request.param:
            patch.setattr(kept_array, "SMALL_BYTES", 0)
        yield request.param
