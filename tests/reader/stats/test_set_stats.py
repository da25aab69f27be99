"""What all streams of a set have given: the sum of what their callers got, for each face."""

from __future__ import annotations

import os
import pickle
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reader import open_shards
from reader.shardset import ShardSet
from reader.stats.stream_counts import StreamCounts
from shardio.storage.waiting import Wait, patiently
from tests.collected import collect
from tests.reader.datasets import Made
from tests.reader.foreign_files import encode, example

# What all records of the set of 37 are in batches of 5: whole ones.
BATCHES, IMAGES = 7, 35
# A record as uint8, and its two labels as int32.
BYTES = 2 * 3 * 3 + 2 * 4


def given(shards: ShardSet) -> tuple[int, int, int]:
    stats = shards.stats
    return stats.batches, stats.images, stats.bytes


def test_it_is_the_sum_of_all_streams(made: Made) -> None:
    shards = open_shards(made.glob)
    assert given(shards) == (0, 0, 0)
    left_early = shards.batches(5, dtype="uint8")
    assert len(list(islice(left_early, 3))) == 3
    assert given(shards) == (3, 15, 15 * BYTES)
    assert shards.stats.ahead == left_early.stats().ahead > 0
    del left_early
    collect()
    assert (given(shards), shards.stats.ahead) == ((3, 15, 15 * BYTES), 0)
    list(shards.batches(5, dtype="uint8", epochs=2, drop_remainder=False))
    assert given(shards) == (3 + 16, 15 + 74, (15 + 74) * BYTES)
    stats = shards.stats
    assert stats.waited is not None
    assert stats.waited > 0
    assert stats.reading > 0
    assert stats.cpu > 0


def test_each_face_in_this_process(made: Made) -> None:
    pytest.importorskip("tensorflow")
    shards = open_shards(made.glob)
    data = shards.to_keras(5, dtype="uint8")
    assert len([data[number] for number in range(len(data))]) == BATCHES
    assert given(shards) == (BATCHES, IMAGES, IMAGES * BYTES)
    assert shards.stats.waited is not None
    assert len(list(shards.to_tf_dataset(5, dtype="uint8"))) == BATCHES
    assert given(shards) == (2 * BATCHES, 2 * IMAGES, 2 * IMAGES * BYTES)
    # TensorFlow reads ahead: who waits for it cannot be seen.
    assert shards.stats.waited is None


def test_each_set_counts_for_itself(made: Made) -> None:
    shards = open_shards(made.glob)
    part = shards[:10]
    list(part.batches(5))
    assert (shards.stats.batches, part.stats.batches) == (0, 2)
    copy = pickle.loads(pickle.dumps(part))
    assert copy.stats.batches == 0
    list(copy.batches(5))
    assert (part.stats.batches, copy.stats.batches) == (2, 2)


def test_a_fork_begins_to_count_again(made: Made) -> None:
    shards = open_shards(made.glob)
    stream = shards.batches(5, epochs=2)
    next(stream)
    here, there = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            before = shards.stats.batches
            next(stream)
            found = [before, shards.stats.batches, stream.stats().batches]
            os.write(there, repr(found).encode())
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert os.read(here, 100) == b"[0, 1, 1]"
    os.close(here)
    os.close(there)
    assert (shards.stats.batches, stream.stats().batches) == (1, 1)


def slow(x: Any, ys: Any, rng: np.random.Generator) -> tuple[Any, Any]:
    """A transform that a process can be given."""
    return x, ys


# torch warns of more processes than there are processors.
@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
@pytest.mark.parametrize(
    ("workers", "start"),
    [
        (0, None),
        (1, "fork"),
        (3, "fork"),
        pytest.param(1, "forkserver", marks=pytest.mark.jobs),
        pytest.param(1, "spawn", marks=pytest.mark.jobs),
    ],
)
def test_processes_of_a_loader(made: Made, workers: int, start: str | None) -> None:
    data = pytest.importorskip("torch.utils.data", reason="PyTorch is not installed")
    shards = open_shards(made.glob)
    list(shards.batches(5, dtype="uint8"))
    before = named_memory()
    batches = shards.to_torch(5, dtype="uint8", transform=slow, rows=True)
    loader = data.DataLoader(
        batches, batch_size=None, num_workers=workers, multiprocessing_context=start
    )
    images = [len(x) for _ in range(2) for x, *_ in loader]
    assert sum(images) == 2 * IMAGES
    stats = shards.stats
    assert (stats.batches, stats.images) == (3 * BATCHES, 3 * IMAGES)
    # PyTorch has integers of eight bytes, and is given those of four; rows have eight.
    assert stats.bytes == IMAGES * BYTES + 2 * IMAGES * (BYTES + 8)
    assert stats.transform > 0
    assert stats.cpu > 0
    assert named_memory() == before


def named_memory() -> set[str]:
    """What lies in memory under a name of ours."""
    return {name for name in os.listdir("/dev/shm") if "shardio" in name}


def test_a_loader_that_is_left_early(made: Made) -> None:
    data = pytest.importorskip("torch.utils.data", reason="PyTorch is not installed")
    shards = open_shards(made.glob)
    iterator = iter(data.DataLoader(shards.to_torch(5), batch_size=None, num_workers=1))
    next(iterator)
    del iterator
    collect()
    # The process may have made those that the loader asks for ahead.
    assert 1 <= shards.stats.batches <= 1 + 2
    assert shards.stats.images == 5 * shards.stats.batches


def test_decoding_and_a_transform_are_told_apart(tmp_path: Path) -> None:
    tf = pytest.importorskip("tensorflow")
    pixels = np.zeros((64, 64, 3), dtype=np.uint8)
    with tf.io.TFRecordWriter(str(tmp_path / "x.tfrecord")) as writer:
        for label in range(8):
            writer.write(example(image=encode(pixels, "PNG"), label=label))
    shards = open_shards(str(tmp_path / "x.tfrecord"))
    stream = shards.batches(4, transform=slow)
    list(stream)
    stats = stream.stats()
    assert stats == shards.stats
    assert stats.decoding > 0
    assert stats.reading > 0
    assert stats.transform > 0


@pytest.mark.filterwarnings("ignore::reader.fetch.skipped.SkippedRecordWarning")
def test_damage_and_retries(made: Made) -> None:
    path = made.shard(4)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    shards = open_shards(made.glob)
    list(shards.batches(5, on_error="skip", max_skipped=5, drop_remainder=False))
    assert shards.stats.skipped == 1
    fails = iter([ConnectionError("gone"), ConnectionError("gone")])
    stream = shards.batches(5)

    def action() -> None:
        for error in fails:
            raise error

    patiently(action, lambda error: True, Wait(60), pause=lambda seconds: None)
    assert shards.stats.retries == stream.stats().retries == 2


def test_copies_in_a_cache(made: Made, tmp_path: Path) -> None:
    def opened() -> ShardSet:
        return open_shards(f"file://{made.glob}", cache=tmp_path / "cache")

    shards = opened()
    while shards.cached < 4:  # one of the five is empty
        list(shards.batches(5))
    shards = opened()
    stream = shards.batches(5, drop_remainder=False)
    list(stream)
    assert shards.stats.cached == stream.stats().cached == 37


def test_a_stream_that_ends_while_another_one_is_added_up_is_counted(made: Made) -> None:
    """A collection of garbage may come at any place."""
    whole = StreamCounts()
    first, second = whole.stream(), whole.stream()
    left = [second]

    class Ends(int):
        def __radd__(self, other: int) -> int:
            left.clear()
            return other

    first.batches, second.batches = 3, 4
    whole._ended = (Ends(), *whole._ended[1:])
    del second, first
    assert whole.stats().batches == 7
