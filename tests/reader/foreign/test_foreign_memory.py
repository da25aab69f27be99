"""What a stream over shards of others owns, against what it says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.reader.batching.test_memory import _READ, BASE
from tests.reader.foreign_files import encode, example, photos, write_records

RECORDS = 2_000


@pytest.mark.memory
@pytest.mark.parametrize(
    ("kind", "shape", "links"),
    [("JPEG", (32, 128, 3), 25), ("JPEG", (224, 224, 3), 4), ("raw", (32, 128, 3), 100)],
)
@pytest.mark.parametrize(
    "options",
    [
        {"shuffle": "exact", "memory": "150MB", "dtype": "uint8"},
        {"shuffle": "window", "memory": "300MB", "dtype": "uint8"},
        {"shuffle": "none", "memory": "400MB"},
    ],
    ids=lambda options: str(options["shuffle"]),
)
def test_memory_is_what_was_said(
    tmp_path: Path, kind: str, shape: tuple[int, int, int], links: int, options: dict[str, Any]
) -> None:
    images = [encode(image, kind) for image in photos(20, shape)]
    records = [example(image=images[n % 20], label=n % 1000) for n in range(RECORDS)]
    write_records(tmp_path / "one", records)
    for index in range(links):
        os.link(tmp_path / "one", tmp_path / f"train-{index:05d}-of-{links:05d}.tfrecord")
    options = options | {"drop_remainder": False}
    said = map(json.dumps, (options, shape))
    done = subprocess.run(
        [sys.executable, "-c", _READ, f"{tmp_path}/*.tfrecord", *said],
        capture_output=True,
        text=True,
        check=True,
    )
    length, count, peak, total = map(int, done.stdout.split())
    assert length == count == RECORDS * links
    assert peak <= BASE + total
