"""What a stream over shards of others owns, against what it says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.reader.foreign import encode, example, photos, write_records
from tests.reader.test_memory import BASE, _READ

RECORDS, LINKS = 2_000, 100
# Pillow and its plugins.
PILLOW = 15_000_000


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["JPEG", "raw"])
@pytest.mark.parametrize(
    "options",
    [
        {"shuffle": "exact", "memory": "64MB"},
        {"shuffle": "window", "memory": "200MB", "dtype": "uint8"},
    ],
    ids=lambda options: str(options["shuffle"]),
)
def test_memory_is_what_was_said(tmp_path: Path, kind: str, options: dict[str, Any]) -> None:
    images = [encode(image, kind) for image in photos(20, (32, 128, 3))]
    records = [example(image=images[n % 20], label=n % 1000) for n in range(RECORDS)]
    write_records(tmp_path / "one", records)
    for index in range(LINKS):
        os.link(tmp_path / "one", tmp_path / f"train-{index:05d}-of-{LINKS:05d}.tfrecord")
    done = subprocess.run(
        [sys.executable, "-c", _READ, f"{tmp_path}/*.tfrecord", json.dumps(options)],
        capture_output=True,
        text=True,
        check=True,
    )
    length, count, peak, total = map(int, done.stdout.split())
    assert length == count == RECORDS * LINKS
    print(kind, options, peak, total)
    assert peak <= BASE + PILLOW + total
