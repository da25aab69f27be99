"""Images that are decoded at once share a budget, and one that is larger is decoded alone."""

from __future__ import annotations

import io
import re
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reader import open_shards
from reader.foreign.layout import DECODERS
from reader.foreign.source_memory import SourceMemory, budget_of
from shardio.errors import OptionError, UnsupportedRecordError
from tests.reader.foreign_files import example, write_records


def test_no_more_is_decoded_at_once_than_the_budget_holds() -> None:
    memory = SourceMemory(12 * 100)
    lock = threading.Lock()
    now: list[int] = []
    seen: list[list[int]] = []

    def decode(pixels: int) -> None:
        with memory.held(pixels):
            with lock:
                now.append(pixels)
                seen.append([*now])
            time.sleep(0.002)
            with lock:
                now.remove(pixels)

    threads = [threading.Thread(target=decode, args=(20 + n % 5 * 30,)) for n in range(60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 60
    assert all(sum(together) <= 100 or len(together) == 1 for together in seen)
    assert max(map(len, seen)) > 1


def test_an_error_gives_memory_back() -> None:
    memory = SourceMemory(1)
    with pytest.raises(ValueError, match="x"), memory.held(9):
        raise ValueError("x")
    with memory.held(9):
        pass


def test_the_plan_counts_the_images_that_are_read(tmp_path: Path) -> None:
    file = io.BytesIO()
    Image.new("RGB", (4000, 3000)).save(file, "JPEG")
    write_records(tmp_path / "a", [example(image=file.getvalue(), label=n) for n in range(3)])
    shards = open_shards(tmp_path / "a", size=(8, 8))
    batches = shards.batches(1, dtype="uint8")
    assert batches.memory.parts["decoders"] >= budget_of(12_000_000, 1) == 12 * 12_000_000
    assert sorted(int(y[0]) for _, y in batches) == [0, 1, 2]
    with pytest.raises(OptionError, match="is too little"):
        shards.batches(1, dtype="uint8", memory="100MB")


def test_memory_bounds_an_image_that_is_larger_than_the_first(tmp_path: Path) -> None:
    """By what its header claims, before any of it is decoded; without a bound it is read."""
    sizes = (64, 64), (3000, 2500), (32, 32)
    files = [io.BytesIO() for _ in sizes]
    for size, file in zip(sizes, files, strict=True):
        Image.new("RGB", size).save(file, "PNG")
    path = tmp_path / "a"
    write_records(path, [example(image=x.getvalue(), label=n) for n, x in enumerate(files)])
    shards = open_shards(path, size=(8, 8))
    for bound in (None, "130MB"):
        batches = shards.batches(1, dtype="uint8", memory=bound, shuffle="none")
        assert [int(y[0]) for _, y in batches] == [0, 1, 2]
    batches = shards.batches(1, dtype="uint8", memory="90MB", on_error="skip")
    words = (
        re.escape(f"{path}: record 1") + ".* has 7,500,000 pixels, which take 90.0 MB before they"
    )
    with pytest.raises(UnsupportedRecordError, match=words):
        list(batches)


def test_the_plan_counts_the_longest_records(tmp_path: Path) -> None:
    """As many of them as threads read at once."""
    noise = np.random.default_rng(0).integers(0, 256, (1200, 1000, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "BMP")
    small = io.BytesIO()
    Image.new("RGB", (8, 8)).save(small, "PNG")
    plans = []
    for large in (0, 1, 40):
        records = [example(image=small.getvalue(), label=0)] * (41 - large)
        records += [example(image=file.getvalue(), label=0)] * large
        write_records(tmp_path / str(large), records)
        shards = open_shards(tmp_path / str(large), size=(8, 8))
        plans.append(shards.batches(8).memory.parts["decoders"])
    assert plans[1] - plans[0] >= 3_600_000 - (1 << 20)
    assert plans[2] - plans[0] == DECODERS * (plans[1] - plans[0])
