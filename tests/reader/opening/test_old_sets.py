"""Sets that were made before labels had kinds open as they did."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from reader import open_shards
from reader.commands.verification import verify
from reader.opening.sound_parts import SoundParts
from shardio.format.manifest import Manifest

ROWS = [0, 3, 2, 1, 4, 5]
LABELS = [[0, 0, 2, 1, 1, 2], [1, 1, 0, 2, 2, 0]]
PIXELS = "0a9ddca92807c8c00fcbd9f0b081f715d5da80db63208e732500afbec00b072f"
FOLDER = Path(__file__).parent / "old_sets"


@pytest.mark.parametrize("encoding", ["raw", "png"])
def test_records_labels_and_bytes_are_as_they_were(encoding: str) -> None:
    folder = FOLDER / encoding
    shards = open_shards(folder, "*")
    ((images, labels, rows),) = shards.batches(6, shuffle="none", dtype="uint8", rows=True)
    assert rows.tolist() == ROWS
    assert [head.tolist() for head in labels] == LABELS
    assert hashlib.sha256(images.tobytes()).hexdigest() == PIXELS
    assert [label.vocabulary for label in shards.labels] == [("a", "b", "是")] * 2
    assert shards.splits == {"train": 4, "val": 2}
    assert verify(SoundParts.of(shards), lambda count: None).faults == []
    text = (folder / "dataset.json").read_bytes()
    assert Manifest.from_json(text).to_json() == text
