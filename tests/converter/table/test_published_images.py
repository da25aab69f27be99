"""Images of a column that are published in files for other machines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from converter.sources.image_files import read_image
from converter.table.published_images import PublishedImages
from shardio.errors import UnusableFileError


def image(row: int) -> bytes:
    return bytes([row]) * row


@dataclass(frozen=True)
class Images:
    """Images of as many bytes as their number, some at a time."""

    count: int
    step: int
    name: str = "t.parquet"
    column: str = "image"
    bytes: int = 0

    def batches(self) -> Iterator[Any]:
        images = pa.array([b"x", *map(image, range(self.count))], pa.large_binary())[1:]
        for start in range(0, self.count, self.step):
            yield images.slice(start, self.step)


@pytest.mark.parametrize("step", [1, 7, 50])
@pytest.mark.parametrize(("file_bytes", "files"), [(1 << 30, 1), (200, 2), (1, 2)])
def test_each_image_is_read_back_and_those_that_are_not_wanted_are_left_out(
    tmp_path: Path, step: int, file_bytes: int, files: int
) -> None:
    images = Images(40, step)
    wanted = np.arange(40) % 3 != 1
    folder = tmp_path / "rows"
    with PublishedImages(images, wanted, str(folder), file_bytes) as published:
        rows = np.random.default_rng(step).permutation(40)
        for row, location in zip(rows.tolist(), published.locations(rows), strict=True):
            if row and wanted[row]:
                assert read_image(location) == image(row)
            else:
                with pytest.raises(UnusableFileError, match="the table has no image here"):
                    read_image(location)
        found = list(folder.iterdir())
        assert len(found) >= files if step < 50 else len(found) >= 1
        assert sum(path.stat().st_size for path in found) == sum(np.arange(40)[wanted])
    assert not folder.exists()
