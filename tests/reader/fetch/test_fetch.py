from __future__ import annotations

import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reader import open_shards
from reader.batching.options import Shuffle
from reader.fetch.fixed_records import FixedFetcher
from reader.fetch.skipped import Skipped
from reader.files.open_files import OpenFiles
from reader.files.record_check import touch
from reader.files.shard import ShardFile
from reader.files.shard_files import ShardFiles
from shardio.errors import CorruptRecordError, DatasetError, StorageError
from shardio.storage import RangeReader, storage_for
from shardio.storage.local_files import LocalRanges
from tests.reader.datasets import Made, write_dataset

FIXTURE = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60
)


@FIXTURE
@given(st.lists(st.integers(0, 36), min_size=1, max_size=50))
def test_any_records_in_any_order_come_as_they_were_written(made: Made, ids: list[int]) -> None:
    shards = open_shards(made.glob)
    fetcher = FixedFetcher(shards.files(), made.layout, verify=True, compiled=False)
    images = np.zeros((len(ids), 18), dtype=np.uint8)
    integers = fetcher.fetch(np.array(ids), images)
    assert (images.reshape(-1, 2, 3, 3) == made.images[ids]).all()
    assert (integers[:, :-1] == made.labels[ids]).all()
    assert (integers[:, -1] == made.rows[ids]).all()


def test_a_run_longer_than_one_system_call_takes(tmp_path: Path) -> None:
    made = write_dataset(tmp_path, (1500, 1))
    shards = open_shards(made.glob)
    fetcher = FixedFetcher(shards.files(), made.layout, verify=True, compiled=False)
    images = np.zeros((1501, 18), dtype=np.uint8)
    fetcher.fetch(np.arange(1501), images)
    assert (images.reshape(-1, 2, 3, 3) == made.images).all()


@FIXTURE
@given(st.data())
def test_any_flipped_bit_is_caught_and_named(made: Made, data: st.DataObject) -> None:
    stride = made.layout.stride
    path = made.shard(4)
    whole = path.read_bytes()
    bit = data.draw(st.integers(0, 8 * len(whole) - 1))
    damaged = bytearray(whole)
    damaged[bit // 8] ^= 1 << bit % 8
    path.write_bytes(damaged)
    record = bit // 8 // stride
    shards = open_shards(made.glob)
    with pytest.raises((CorruptRecordError, DatasetError)) as caught:
        shards[14 + record]
    path.write_bytes(whole)
    assert f"{path}: record {record} at byte " in str(caught.value)
    at = int(str(caught.value).split("at byte ")[1].split(":")[0])
    assert record * stride <= at <= bit // 8


@pytest.mark.parametrize("shuffle", ["exact", "none"])
def test_a_flipped_bit_ends_a_stream_of_batches(made: Made, shuffle: Shuffle) -> None:
    path = made.shard(4)
    damaged = bytearray(path.read_bytes())
    damaged[7 * made.layout.stride + 40] ^= 4
    path.write_bytes(damaged)
    with pytest.raises(CorruptRecordError, match=f"{path}: record 7 at byte"):
        list(open_shards(made.glob).batches(4, shuffle=shuffle))


def test_without_verify_a_damaged_pixel_passes_but_not_a_damaged_head(made: Made) -> None:
    path = made.shard(4)
    stride = made.layout.stride
    damaged = bytearray(path.read_bytes())
    damaged[7 * stride + len(made.layout.head)] ^= 4
    path.write_bytes(damaged)
    shards = open_shards(made.glob)
    assert len(list(shards.batches(1, verify=False))) == 37
    damaged[7 * stride + 3] ^= 4
    path.write_bytes(damaged)
    with pytest.raises(CorruptRecordError, match="record 7 at byte"):
        list(open_shards(made.glob).batches(1, verify=False))


def test_a_swapped_shard_is_named_at_its_first_touch(made: Made, tmp_path: Path) -> None:
    other = write_dataset(tmp_path / "others", seed=5)
    shutil.copy(other.shard(4), made.shard(4))
    shards = open_shards(made.glob)
    shards[13]
    with pytest.raises(DatasetError, match=f"{made.shard(4)} is not the shard that dataset.json"):
        shards[14 + 11]


def test_a_shard_cut_after_it_was_opened_is_named(made: Made) -> None:
    shards = open_shards(made.glob)
    shards[14]
    with made.shard(4).open("r+b") as file:
        file.truncate(5 * made.layout.stride + 3)
    with pytest.raises(DatasetError, match=r"ends at byte .*cut while it was read"):
        shards[14 + 5]


def test_a_batch_of_more_shards_than_may_be_open(tmp_path: Path) -> None:
    made = write_dataset(tmp_path, (1,) * 200)
    script = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
from reader import open_shards
shards = open_shards(sys.argv[1])
assert sum(len(x) for x, _ in shards.batches(200, epochs=2)) == 400
assert len([shards[i] for i in range(200)]) == 200
"""
    subprocess.run([sys.executable, "-c", script, made.glob], check=True, timeout=300)


def test_open_files_are_bounded_and_closed(tmp_path: Path) -> None:
    made = write_dataset(tmp_path, (1,) * 40)
    paths = [str(made.shard(i)) for i in range(40)]
    files = OpenFiles(most=5)

    def open_file(number: int) -> RangeReader:
        return storage_for(paths[number]).open_ranges(paths[number])

    def opened() -> int:
        return sum(
            str(tmp_path) in str(link.readlink())
            for link in Path("/proc/self/fd").iterdir()
            if link.is_symlink()
        )

    held = files.get(0, open_file)
    for number in range(40):
        files.get(number, open_file)
    assert opened() == 6  # five, and the one that is held
    buffer = bytearray(3)
    assert held.read_into(0, memoryview(buffer)) == 3
    del held
    assert opened() == 5
    files.forget()
    assert opened() == 0


def test_a_file_that_is_pushed_out_while_it_is_read_stays_open(made: Made) -> None:
    """Nobody need keep it in a variable."""
    path = str(made.shard(0))
    data = Path(path).read_bytes()

    class Forgotten(LocalRanges):
        def read_into(self, offset: int, memory: memoryview) -> int:
            files.forget()
            return super().read_into(offset, memory)

    files = OpenFiles(most=5)
    buffer = bytearray(len(data))
    read = files.get(0, lambda _: Forgotten(path, os.open(path, os.O_RDONLY))).read_into
    assert read(0, memoryview(buffer)) == len(data)
    assert buffer == data


@pytest.mark.parametrize("way", ["get", "drop", "forget"])
def test_what_a_file_does_when_it_is_closed_waits_for_nothing(made: Made, way: str) -> None:
    """It may run whatever a collection of garbage ends."""
    path = str(made.shard(0))
    files = OpenFiles(most=1)
    closed = Event()

    class Asking(LocalRanges):
        def close(self) -> None:
            files.get(7, open_file)
            files.forget()
            super().close()
            closed.set()

    def open_file(number: int) -> RangeReader:
        kind = LocalRanges if number else Asking
        return kind(path, os.open(path, os.O_RDONLY))

    files.get(0, open_file)
    ways = {"get": lambda: files.get(1, open_file), "drop": lambda: files.drop(0)}
    Thread(target=ways.get(way, files.forget), daemon=True).start()
    assert closed.wait(60)


def test_streams_one_after_the_other_and_many_at_once_find_files_to_open(tmp_path: Path) -> None:
    """Without the garbage collector: files of streams that ended must not wait for it."""
    made = write_dataset(tmp_path, (1,) * 60)
    script = """
import gc, resource, sys
gc.disable()
resource.setrlimit(resource.RLIMIT_NOFILE, (80, 80))
from reader import open_shards
shards = open_shards(sys.argv[1])
for shuffle in ("exact", "none", "window") * 10:
    for stream in (shards.batches(7, shuffle=shuffle), iter(shards.batches(7, shuffle=shuffle))):
        next(stream)  # and forgotten
    assert sum(len(x) for x, _ in shards.batches(7, shuffle=shuffle)) == 56
streams = [shards.batches(5) for _ in range(12)]
for step in zip(*streams, strict=True):
    assert len({x.tobytes() for x, _ in step}) == 1
"""
    subprocess.run([sys.executable, "-c", script, made.glob], check=True, timeout=300)


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs Linux's /proc/self/mem")
@pytest.mark.parametrize("skipped", [None, Skipped()])
def test_an_io_error_is_named_with_shard_and_byte_and_never_skipped(
    made: Made, skipped: Skipped | None
) -> None:
    # Byte 0 of a process is never mapped: reading it is a true EIO.
    shard = ShardFile("/proc/self/mem", 3, None)
    files = ShardFiles([shard], partial(touch, made.layout, skips=True))
    fetcher = FixedFetcher(files, made.layout, verify=True, skipped=skipped, compiled=False)
    with pytest.raises(StorageError, match="/proc/self/mem, byte 0: Input/output error"):
        fetcher.fetch(np.array([1]), np.zeros((1, 18), dtype=np.uint8))
