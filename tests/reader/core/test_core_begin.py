"""Reads that the compiled core has begun: waited for, forgotten, beside forks, in any order."""

from __future__ import annotations

import ctypes
import mmap
import os
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from reader import open_shards
from reader.core.compiled import core, permuted
from shardio.errors import CorruptRecordError, MissingFileError
from shardio.format.layout import RecordLayout
from shardio.permutation import MAX_SIZE, Permutation
from shardio.storage import storage_for
from tests.reader.core.test_core import LAW, records_of
from tests.reader.datasets import Made, write_dataset

assert core is not None, "the compiled core was not built"

LAYOUT = RecordLayout(5000, ("y0", "y1"))
PARTS = (
    LAYOUT.head,
    LAYOUT.image_bytes,
    LAYOUT.tail_bytes,
    LAYOUT.number_offsets,
    LAYOUT.number_bytes,
)
COUNT = 400


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("core") / "shard"
    path.write_bytes(records_of(LAYOUT, COUNT, 5))
    return path


class Begun:
    """A read of records that was begun."""

    def __init__(self, file: int, base: int, ids: NDArray[np.int64], *, deep: bool) -> None:
        assert core is not None
        count = len(ids)
        self.ids = ids
        self.images = np.zeros((count, LAYOUT.image_bytes), dtype=np.uint8)
        self.integers = np.zeros((count, 3), dtype=np.int64)
        self.faults = np.zeros(count, dtype=np.int64)
        offsets = ids * LAYOUT.stride
        self.begun = core.begin(
            core.layout(*PARTS, 2),
            np.full(count, file, dtype=np.int32),
            offsets,
            base + offsets if base else None,
            self.images,
            False,
            self.integers,
            self.faults,
            True,
            deep,
            None,
        )

    def is_right(self, whole: NDArray[np.uint8]) -> bool:
        """Wait; returns whether the records are those of the file."""
        assert core is not None
        wrong, seconds, waits, _ = core.wait(self.begun)
        start = len(LAYOUT.head)
        return bool(
            wrong == 0
            and seconds >= 0
            and waits >= 0
            and (self.images == whole[self.ids, start : start + LAYOUT.image_bytes]).all()
            and (
                self.integers == LAYOUT.integers(whole[self.ids, start + LAYOUT.image_bytes : -4])
            ).all()
        )


def whole_of(path: Path) -> NDArray[np.uint8]:
    return np.fromfile(path, dtype=np.uint8).reshape(-1, LAYOUT.stride)


@pytest.mark.parametrize("deep", [True, False])
@pytest.mark.parametrize("mapped", [True, False])
def test_reads_are_waited_for_in_any_order_by_any_thread(
    shard: Path, deep: bool, mapped: bool
) -> None:
    assert core is not None
    whole = whole_of(shard)
    rng = np.random.default_rng(1)
    with open(shard, "rb") as file:
        held, base = core.map(file.fileno(), whole.nbytes) if mapped else (None, 0)
        for _ in range(20):
            sizes = rng.integers(0, 200, 12)
            begun = [
                Begun(file.fileno(), base, rng.integers(0, COUNT, size), deep=deep)
                for size in sizes
            ]
            rng.shuffle(begun)
            with ThreadPoolExecutor(3) as pool:
                assert all(pool.map(lambda one: one.is_right(whole), begun))
            assert all(one.is_right(whole) for one in begun)  # again
        del held


@pytest.mark.parametrize("deep", [True, False])
def test_what_is_forgotten_writes_nothing_more(shard: Path, deep: bool) -> None:
    rng = np.random.default_rng(2)
    with open(shard, "rb") as file:
        for _ in range(30):
            begun = [
                Begun(file.fileno(), 0, rng.integers(0, COUNT, 100), deep=deep) for _ in range(6)
            ]
            kept = [one.images for one in begun]
            last = begun[-1]
            for one in begun[:-1]:
                one.begun = None
            for images in kept[:-1]:
                images[:] = 0
            assert last.is_right(whole_of(shard))
            assert not any(images.any() for images in kept[:-1])


def test_a_child_process_waits_for_what_its_parent_began(shard: Path) -> None:
    script = """
    import os, signal, sys
    from pathlib import Path
    import numpy as np
    from tests.quiet import wait_for_threads
    from tests.reader.core.test_core_begin import COUNT, Begun, whole_of
    path = Path(sys.argv[1])
    whole, rng, file = whole_of(path), np.random.default_rng(3), os.open(path, os.O_RDONLY)
    if "libasan" in os.environ.get("LD_PRELOAD", ""):
        # A thread that starts is in the sanitizer's allocator, whose lock a child never gets back.
        ready = [Begun(file, 0, rng.integers(0, COUNT, 300), deep=True) for _ in range(40)]
        assert all(one.is_right(whole) for one in ready)
        wait_for_threads()
    for number in range(40):
        begun = [Begun(file, 0, rng.integers(0, COUNT, 300), deep=number % 2) for _ in range(5)]
        child = os.fork()
        if child == 0:
            signal.alarm(240)  # one that hangs is killed
            begun[0].begun = None
            code = 0 if all(one.is_right(whole) for one in begun[1:]) else 1
            more = Begun(file, 0, rng.integers(0, COUNT, 300), deep=True)
            os._exit(code if more.is_right(whole) else 2)
        assert all(one.is_right(whole) for one in begun)
        status = os.waitpid(child, 0)[1]
        assert status == 0, (number, status)
    """
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script), str(shard)]
    root = Path(__file__).resolve().parents[3]
    subprocess.run(command, check=True, timeout=500, cwd=root)


@LAW
@given(
    sizes=st.lists(st.integers(1, 50), min_size=1, max_size=20),
    data=st.data(),
    missing=st.sets(st.integers(0, 19), max_size=2),
    unmapped=st.booleans(),
)
def test_records_are_located_as_numpy_does(
    sizes: list[int], data: st.DataObject, missing: set[int], unmapped: bool
) -> None:
    assert core is not None
    ends = np.cumsum(sizes)
    ids = np.array(data.draw(st.lists(st.integers(0, int(ends[-1]) - 1), max_size=60)), np.int64)
    shards = len(sizes)
    ready = np.ones(shards, dtype=bool)
    ready[[number for number in missing if number < shards]] = False
    descriptors = np.arange(100, 100 + shards, dtype=np.int32)
    bases = np.arange(1, shards + 1, dtype=np.int64) << 40
    if unmapped:
        bases[-1] = 0
    files = np.empty(len(ids), np.int32)
    offsets, addresses = np.empty(len(ids), np.int64), np.empty(len(ids), np.int64)
    out = files, offsets, addresses
    found = core.locate(ids, ends, ready, descriptors, bases, 77, *out)
    numbers = np.searchsorted(ends, ids, side="right")
    if not ready[numbers].all():
        assert found == 0
        return
    assert found == (2 if bases[numbers].all() else 1)
    places = (ids - (ends - sizes)[numbers]) * 77
    assert (files == descriptors[numbers]).all()
    assert (offsets == places).all()
    assert (addresses == bases[numbers] + places).all()
    for wrong in (-1, int(ends[-1])):
        out = np.empty(2, np.int32), np.empty(2, np.int64), np.empty(2, np.int64)
        with pytest.raises(IndexError, match=f"no record {wrong}"):
            core.locate(np.array([0, wrong]), ends, ready | True, descriptors, bases, 77, *out)


@LAW
@given(data=st.data(), heads=st.integers(0, 5), count=st.integers(0, 20))
def test_labels_are_those_of_numpy(data: st.DataObject, heads: int, count: int) -> None:
    assert core is not None
    numbers = st.integers(0, 2**31 - 1)
    rows = st.lists(numbers, min_size=heads + 1, max_size=heads + 1)
    drawn = data.draw(st.lists(rows, min_size=count, max_size=count))
    integers = np.array(drawn, dtype=np.int64).reshape(count, heads + 1)
    most = np.array(data.draw(st.lists(numbers, min_size=heads, max_size=heads)), dtype=np.int64)
    labels = np.empty((heads, count), dtype=np.int32)
    assert core.labels(integers, most, labels) == (integers[:, :-1] <= most).all()
    assert (labels == integers[:, :-1].T).all()


@LAW
@given(
    size=st.one_of(st.integers(1, 3000), st.integers(1, MAX_SIZE)),
    seed=st.integers(0, 2**32),
    data=st.data(),
)
def test_positions_are_permuted_as_numpy_does(size: int, seed: int, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, size))
    stop = data.draw(st.integers(start, min(size, start + 300)))
    permutation = Permutation(size, seed, "x")
    assert (permuted(permutation, start, stop) == permutation(np.arange(start, stop))).all()


def test_what_is_no_permutation_is_refused() -> None:
    assert core is not None
    keys = np.arange(12, dtype=np.uint64)
    fit: dict[str, Any] = {"keys": keys, "high": 3, "low": 3, "size": 64, "first": 60}
    fit["values"] = np.empty(4, np.int64)
    core.permute(*fit.values())
    wrongs: list[dict[str, Any]] = [{"keys": keys[1:]}, {"high": 0}, {"high": 2}, {"low": 32}]
    wrongs += [{"low": -1}, {"size": 65}, {"size": 63}, {"first": 61}, {"first": 100}]
    wrongs += [{"values": np.empty(5, np.int64)}, {"values": np.empty(9, np.int32)}]
    for wrong in wrongs:
        with pytest.raises(ValueError, match="no such permutation"):
            core.permute(*(fit | wrong).values())


def test_arguments_that_do_not_fit_are_refused() -> None:
    assert core is not None

    def longs(count: int) -> NDArray[np.int64]:
        return np.ones(count, dtype=np.int64)

    def shorts(count: int) -> NDArray[np.int32]:
        return np.ones(count, dtype=np.int32)

    fit = [longs(3) * 0, longs(2), np.ones(2, bool), shorts(2), longs(2), 5]
    fit += [shorts(3), longs(3), longs(3)]
    assert core.locate(*fit) == 2
    for place, wrong in ((1, longs(0)), (2, np.ones(3, bool)), (3, shorts(1)), (4, longs(3)),
                         (6, shorts(2)), (7, longs(4)), (8, longs(2))):  # fmt: skip
        with pytest.raises((ValueError, IndexError)):
            core.locate(*fit[:place], wrong, *fit[place + 1 :])
    assert core.labels(longs(6), longs(2), shorts(4))
    for arguments in ((longs(7), longs(2), shorts(4)), (longs(6), longs(2), shorts(3))):
        with pytest.raises(ValueError, match="do not fit"):
            core.labels(*arguments)
    with pytest.raises(ValueError):  # noqa: PT011 - the words are Python's
        core.wait(object())


def cached_share(path: Path, start: int, stop: int) -> float:
    """Return the share of a part of a file that the kernel has in its cache.

    Without asking for it: a read that must not wait lets the kernel read what it asks for.
    """
    library = ctypes.CDLL(None, use_errno=True)
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as memory:
        whole = np.frombuffer(memory, dtype=np.uint8)
        pages = np.zeros(-(-len(whole) // mmap.PAGESIZE), dtype=np.uint8)
        address = ctypes.c_void_p(whole.ctypes.data)
        failed = library.mincore(address, ctypes.c_size_t(len(whole)), pages.ctypes)
        assert failed == 0, os.strerror(ctypes.get_errno())
        del whole
    return float((pages[start // mmap.PAGESIZE : -(-stop // mmap.PAGESIZE)] & 1).mean())


def wait_until_cached(path: Path, start: int, stop: int) -> None:
    end = time.monotonic() + 120
    while cached_share(path, start, stop) < 1:
        assert time.monotonic() < end
        time.sleep(0.01)


def test_advice_is_for_what_is_not_read_yet(tmp_path: Path) -> None:
    assert core is not None
    path = tmp_path / "file"
    # More than the kernel takes for one advice, whatever the disk: it comes in pieces.
    path.write_bytes(os.urandom((9 << 20) + 100))
    size = path.stat().st_size

    file = os.open(path, os.O_RDONLY)
    try:
        assert core.advise(file, 0, size, None) is None  # just written: it is in memory
        os.fsync(file)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        if cached_share(path, 0, size):
            pytest.skip("the kernel keeps what it is told to forget")
        advice = core.advise(file, 0, size, None)
        assert advice is not None
        with pytest.raises(ValueError, match="not waited for"):
            core.wait(advice)
        wait_until_cached(path, 0, size)
        del advice
    finally:
        os.close(file)
    assert core.advise(-1, 0, 1 << 20, None) is not None  # it is advice: nothing comes of it


@pytest.mark.parametrize("how", ["core", "storage"])
def test_a_block_whose_neighbours_are_cached_is_read_ahead(tmp_path: Path, how: str) -> None:
    """Its first and its last byte share pages with them."""
    assert core is not None
    path = tmp_path / "file"
    size = (1 << 20) + 100
    path.write_bytes(os.urandom(3 * size))
    file = os.open(path, os.O_RDONLY)
    ranges = storage_for(str(path)).open_ranges(str(path))
    try:
        os.fsync(file)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_RANDOM)
        for offset in (0, 2 * size):
            os.pread(file, size, offset)
        middle = size + (1 << 14), 2 * size - (1 << 14)
        if cached_share(path, *middle):
            pytest.skip("the kernel keeps what it is told to forget, or reads more")
        held = None
        if how == "storage":
            ranges.advise(size, size)
        else:
            held = core.advise(file, size, size, None)
        wait_until_cached(path, *middle)
        del held
    finally:
        ranges.close()
        os.close(file)


@pytest.mark.parametrize("one_hot", [True, False])
def test_an_error_comes_when_its_batch_is_due(made: Made, one_hot: bool) -> None:
    """A batch is begun before the one before it is given; one that fails takes no other along."""
    options: dict[str, Any] = {"shuffle": "none", "one_hot": one_hot, "rows": True}
    expected = [batch[2].tolist() for batch in open_shards(made.glob).batches(4, **options)]
    path = made.shard(4)
    whole = path.read_bytes()
    first = sum(entry.records for entry in made.manifest.shards[:4])

    def given(error: type[Exception]) -> list[list[int]]:
        stream = open_shards(made.glob).batches(4, **options)
        if error is MissingFileError:
            path.unlink()
        seen: list[list[int]] = []
        with pytest.raises(error):
            seen.extend(batch[2].tolist() for batch in stream)
        # It is still due: no batch is left out.
        with pytest.raises(error):
            next(stream)
        return seen

    damaged = bytearray(whole)
    damaged[3 * made.layout.stride + 50] ^= 1
    path.write_bytes(damaged)
    assert given(CorruptRecordError) == expected[: (first + 3) // 4]
    path.write_bytes(whole)
    assert given(MissingFileError) == expected[: first // 4]


@pytest.mark.parametrize("error", [CorruptRecordError, MissingFileError])
def test_advice_for_a_bad_shard_is_no_error(tmp_path: Path, error: type[Exception]) -> None:
    """The blocks of the next window are advised: their errors come with their records."""
    made = write_dataset(tmp_path / "shards", (40,) * 10)
    options: dict[str, Any] = {"shuffle": "window", "block": 20, "window": 2, "rows": True}
    expected = [batch[2].tolist() for batch in open_shards(made.glob).batches(8, **options)]
    for number in (2, 7):
        path = made.shard(number)
        whole = path.read_bytes()
        rows = made.rows[40 * number : 40 * number + 40].tolist()
        if error is CorruptRecordError:
            rows = rows[:1]
            path.write_bytes(whole[:50] + bytes([whole[50] ^ 1]) + whole[51:])
        stream = open_shards(made.glob).batches(8, **options)
        if error is MissingFileError:
            path.unlink()
        due = next(step for step, those in enumerate(expected) if set(rows) & set(those))
        seen: list[list[int]] = []
        with pytest.raises(error):
            seen.extend(batch[2].tolist() for batch in stream)
        assert seen == expected[:due]
        path.write_bytes(whole)


def test_a_block_may_be_of_more_shards_than_may_be_open(tmp_path: Path) -> None:
    made = write_dataset(tmp_path / "shards", (3,) * 200)
    script = """
    import resource, sys
    resource.setrlimit(resource.RLIMIT_NOFILE, (96, 96))
    from reader import open_shards
    options = dict(shuffle="window", block=450, window=1, rows=True)
    rows = [row for *_, rows in open_shards(sys.argv[1]).batches(8, **options) for row in rows]
    assert sorted(rows) == list(range(600))
    """
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script), made.glob]
    subprocess.run(command, check=True, timeout=300)
