"""The compiled core; NumPy's reader, and the bytes themselves, are its judges."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import textwrap
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from reader import ShardSet, open_shards
from reader.core import compiled
from reader.core.compiled import core
from reader.fetch.fixed_records import FixedFetcher
from reader.fetch.pool import Pool
from reader.fetch.skipped import Skipped, SkippedRecordWarning
from reader.files.mapped_files import Maps
from reader.files.record_check import fault
from shardio.errors import CorruptRecordError, DatasetError
from shardio.format.framing import frame_footer
from shardio.format.label import MAX_LABEL
from shardio.format.layout import MAX_ROW, RecordLayout
from tests.reader.datasets import Made

assert core is not None, "the compiled core was not built"

LAW = settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
LAYOUTS = st.builds(
    RecordLayout,
    st.one_of(st.integers(1, 300), st.integers(1, 20_000)),
    st.lists(st.text(min_size=1, max_size=9), max_size=6, unique=True)
    .filter(lambda names: not {"image", "row"} & set(names))
    .map(tuple),
)


def records_of(layout: RecordLayout, count: int, seed: int) -> bytes:
    """Random records, with the largest integers among them."""
    rng = np.random.default_rng(seed)
    heads = rng.integers(0, MAX_LABEL, (count, len(layout.labels)), endpoint=True)
    tails = layout.tails(heads, rng.integers(0, MAX_ROW, count, endpoint=True))
    pixels = rng.integers(0, 256, (count, layout.image_bytes), dtype=np.uint8)
    whole = []
    for image, tail in zip(pixels, tails, strict=True):
        data = layout.prefix + image.tobytes() + tail.tobytes()
        whole += [layout.head[:12], data, frame_footer(data)]
    return b"".join(whole)


def core_layout(layout: RecordLayout, instructions: int) -> Any:
    """Describe a layout to the core."""
    assert core is not None
    return core.layout(
        layout.head,
        layout.image_bytes,
        layout.tail_bytes,
        layout.number_offsets,
        layout.number_bytes,
        instructions,
    )


class Read:
    """What the core makes of records of a file."""

    def __init__(
        self,
        layout: RecordLayout,
        path: str,
        ids: Sequence[int],
        *,
        mapped: bool = False,
        instructions: int = 2,
        scaled: bool = False,
        verify: bool = True,
        size: int | None = None,
    ) -> None:
        count = len(ids)
        offsets = np.array(ids, dtype=np.int64) * layout.stride
        dtype = "float32" if scaled else "uint8"
        self.images: NDArray[Any] = Pool(count, layout.image_bytes, dtype, 1).take()
        self.integers = np.empty((count, layout.numbers), dtype=np.int64)
        self.faults = np.empty(count, dtype=np.int64)
        file = os.open(path, os.O_RDONLY)
        try:
            held, base = core.map(file, size or os.fstat(file).st_size) if mapped else (None, 0)
            self.wrong = core.read(
                core_layout(layout, instructions),
                np.full(count, file, dtype=np.int32),
                offsets,
                base + offsets if mapped else None,
                self.images,
                scaled,
                self.integers,
                self.faults,
                verify,
            )
            del held
        finally:
            os.close(file)


@LAW
@given(
    layout=LAYOUTS,
    seed=st.integers(0, 2**32),
    count=st.integers(1, 40),
    data=st.data(),
    mapped=st.booleans(),
    instructions=st.sampled_from([0, 1, 2]),
    verify=st.booleans(),
)
def test_it_reads_what_was_written_and_finds_any_damage(
    layout: RecordLayout,
    seed: int,
    count: int,
    data: st.DataObject,
    mapped: bool,
    instructions: int,
    verify: bool,
) -> None:
    whole = bytearray(records_of(layout, count, seed))
    flips = data.draw(st.lists(st.integers(0, 8 * len(whole) - 1), max_size=3))
    for bit in flips:
        whole[bit // 8] ^= 1 << bit % 8
    numbers = st.integers(0, count - 1)
    ids = data.draw(st.lists(numbers, max_size=30)) + list(range(data.draw(numbers), count))
    table = np.frombuffer(bytes(whole), dtype=np.uint8).reshape(count, layout.stride)[ids]
    with tempfile.NamedTemporaryFile() as file:
        file.write(whole)
        file.flush()
        read = Read(layout, file.name, ids, mapped=mapped, instructions=instructions, verify=verify)
        scaled = Read(
            layout,
            file.name,
            ids,
            mapped=mapped,
            instructions=instructions,
            verify=verify,
            scaled=True,
        )
    start = len(layout.head)
    pixels = table[:, start : start + layout.image_bytes]
    assert (read.images == pixels).all()
    assert (scaled.images == pixels / np.float32(255)).all()
    tails = table[:, start + layout.image_bytes : -4]
    assert (read.integers == layout.integers(tails)).all()
    assert (scaled.integers == read.integers).all()
    bad = [
        fault(layout, record.tobytes()) is not None
        if verify
        else not record.tobytes().startswith(layout.head)
        for record in table
    ]
    assert read.faults.tolist() == scaled.faults.tolist() == bad
    assert read.wrong == scaled.wrong == sum(bad)


@pytest.mark.parametrize("image_bytes", [1, 700, 90_000])
@pytest.mark.parametrize("scaled", [True, False])
def test_runs_longer_than_one_call_takes(tmp_path: Path, image_bytes: int, scaled: bool) -> None:
    layout = RecordLayout(image_bytes, ("y0", "y1"))
    path = tmp_path / "shard"
    path.write_bytes(records_of(layout, 25 if image_bytes > 1000 else 1100, 1))
    whole = np.fromfile(path, dtype=np.uint8).reshape(-1, layout.stride)
    read = Read(layout, str(path), range(len(whole)), scaled=scaled)
    assert read.wrong == 0
    pixels = whole[:, len(layout.head) :][:, :image_bytes]
    assert (read.images == (pixels / np.float32(255) if scaled else pixels)).all()


@LAW
@given(
    layout=LAYOUTS,
    count=st.integers(1, 20),
    data=st.data(),
    mapped=st.booleans(),
    verify=st.booleans(),
)
def test_a_file_that_was_cut_gives_what_is_left_and_says_where_it_ends(
    layout: RecordLayout, count: int, data: st.DataObject, mapped: bool, verify: bool
) -> None:
    whole = records_of(layout, count, 1)
    end = data.draw(st.integers(0, len(whole) - 1))
    with tempfile.NamedTemporaryFile() as file:
        file.write(whole)
        file.truncate(end)
        file.flush()
        ids = list(range(count))[:: data.draw(st.sampled_from([1, -1]))]
        read = Read(layout, file.name, ids, mapped=mapped, verify=verify, size=len(whole))
    for number, found in zip(ids, read.faults.tolist(), strict=True):
        rest = end - number * layout.stride
        if rest >= layout.stride:
            assert found == 0
        elif mapped and verify:
            # Zeros up to the end of the page: they are damage, or the file is read, and is short.
            missing = whole[max(end, number * layout.stride) : (number + 1) * layout.stride]
            assert found in (1, 2 + max(0, rest)) or (found == 0 and not any(missing))
        else:
            assert found == 2 + max(0, rest)


@pytest.mark.parametrize("verify", [True, False])
def test_records_in_memory_are_taken_as_they_are(verify: bool) -> None:
    """One in 256 ends with a zero, as what is missing of a mapped file that was cut would."""
    assert core is not None
    layout = RecordLayout(50, ("y",))
    count = 3000
    whole = np.frombuffer(records_of(layout, count, 4), dtype=np.uint8)
    assert (whole.reshape(count, -1)[:, -1] == 0).any()
    faults = np.empty(count, dtype=np.int64)
    wrong = core.read(
        core_layout(layout, 2),
        np.full(count, -1, dtype=np.int32),
        np.zeros(count, dtype=np.int64),
        whole.ctypes.data + np.arange(count, dtype=np.int64) * layout.stride,
        np.empty((count, 50), dtype=np.uint8),
        False,
        np.empty((count, 2), dtype=np.int64),
        faults,
        verify,
    )
    assert wrong == 0
    assert not faults.any()


def test_what_cannot_be_read_is_an_error_number() -> None:
    layout = RecordLayout(10, ("y",))
    for path, number in ((os.sep, 21), ("/proc/self/mem", 5)):  # EISDIR, EIO
        assert Read(layout, path, [0, 1]).faults.tolist() == [-number] * 2


def test_arguments_that_do_not_fit_are_refused() -> None:
    assert core is not None
    layout = core.layout(b"h" * 20, 8, 9, (0, 4), b"\5\5", 2)

    def read(**changed: Any) -> None:
        assert core is not None
        arguments: dict[str, Any] = {
            "layout": layout,
            "files": np.zeros(3, np.int32),
            "offsets": np.zeros(3, np.int64),
            "addresses": None,
            "images": np.zeros(24, np.uint8),
            "scaled": False,
            "integers": np.zeros(6, np.int64),
            "faults": np.zeros(3, np.int64),
            "verify": True,
        }
        core.read(*(arguments | changed).values())

    read()
    for changed in (
        {"files": np.zeros(2, np.int32)},
        {"files": np.zeros(13, np.uint8)},
        {"offsets": np.zeros(2, np.int64)},
        {"addresses": np.zeros(2, np.int64)},
        {"images": np.zeros(23, np.uint8)},
        {"scaled": True},
        {"integers": np.zeros(5, np.int64)},
        {"faults": np.zeros(4, np.int64)},
        {"offsets": np.zeros(25, np.uint8)[1:]},
        {"layout": object()},
    ):
        with pytest.raises(ValueError):  # noqa: PT011 - the words are for us
            read(**changed)
    frozen = np.zeros(24, np.uint8)
    frozen.flags.writeable = False
    with pytest.raises(TypeError):
        read(images=frozen)
    core.layout(b"h" * 20, 8, 9, (4, 5), b"\5\4", 2)
    for head, image, tail, places, widths in (
        (b"short", 8, 9, (), b""),
        (b"h" * 20, 0, 9, (), b""),
        (b"h" * 20, 8, -1, (), b""),
        (b"h" * 20, 8, 9, (5,), b"\5"),
        (b"h" * 20, 8, 9, (6,), b"\4"),
        (b"h" * 20, 8, 9, (-1,), b"\5"),
        (b"h" * 20, 8, 9, (0,), b"\3"),
        (b"h" * 20, 8, 9, (0,), b"\5\5"),
    ):
        with pytest.raises(ValueError):  # noqa: PT011
            core.layout(head, image, tail, places, widths, 2)


def fetchers(shards: ShardSet, skipped: list[Skipped] | None, *, verify: bool) -> Any:
    """The core's fetcher and NumPy's."""
    assert isinstance(shards.layout, RecordLayout)
    first, second = skipped or (None, None)
    made = [
        FixedFetcher(
            shards.files(skips=skip is not None),
            shards.layout,
            verify=verify,
            skipped=skip,
            compiled=compiled,
        )
        for skip, compiled in ((first, True), (second, False))
    ]
    return made[0].mapped(Maps()), made[1]


@LAW
@pytest.mark.filterwarnings("ignore::reader.fetch.skipped.SkippedRecordWarning")
@given(
    ids=st.lists(st.integers(0, 36), min_size=1, max_size=50),
    bits=st.lists(st.integers(0, 8 * 23 * 90), max_size=6),
    verify=st.booleans(),
    skip=st.booleans(),
    scaled=st.booleans(),
)
def test_batches_and_errors_are_those_of_numpy(
    made: Made, ids: list[int], bits: list[int], verify: bool, skip: bool, scaled: bool
) -> None:
    path = made.shard(4)
    whole = path.read_bytes()
    damaged = bytearray(whole)
    for bit in bits:
        damaged[bit // 8 % len(whole)] ^= 1 << bit % 8
    path.write_bytes(damaged)
    try:
        counts = [Skipped(), Skipped()] if skip and verify else None
        ours, judge = fetchers(open_shards(made.glob), counts, verify=verify)
        found: list[Any] = []
        for fetcher, dtype in ((ours, "float32" if scaled else "uint8"), (judge, "uint8")):
            images = np.zeros((len(ids), 18), dtype=dtype)
            try:
                integers = fetcher.fetch(np.array(ids), images)
            except (CorruptRecordError, DatasetError) as error:
                found.append((type(error), str(error)))
            else:
                images = images if dtype == "float32" else images / np.float32(255)
                found.append((images.tobytes(), integers.tobytes()))
        assert found[0] == found[1]
        assert counts is None or counts[0].count == counts[1].count
    finally:
        path.write_bytes(whole)


def test_more_files_than_may_be_open(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reader.files.open_files.MAX_OPEN", 2)
    monkeypatch.setattr("reader.files.open_files.OpenFiles.__init__.__defaults__", (2,))
    shards = open_shards(made.glob)
    ours, _ = fetchers(shards, None, verify=True)
    assert ours._files.most == 2
    ids = np.random.default_rng(3).permutation(37)
    images = np.zeros((37, 18), dtype=np.uint8)
    ours.fetch(ids, images)
    assert (images.reshape(-1, 2, 3, 3) == made.images[ids]).all()


def test_threads_share_a_fetcher(made: Made) -> None:
    ours, _ = fetchers(open_shards(made.glob), None, verify=True)

    def work(seed: int) -> bool:
        ids = np.random.default_rng(seed).integers(0, 37, 64)
        images = np.zeros((64, 18), dtype=np.uint8)
        integers = ours.fetch(ids, images)
        return bool(
            (images.reshape(-1, 2, 3, 3) == made.images[ids]).all()
            and (integers[:, -1] == made.rows[ids]).all()
        )

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(400)))


def test_without_it_numpy_reads_and_says_so_once(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = [x.tobytes() for x, _ in open_shards(made.glob).batches(5)]
    monkeypatch.setattr(compiled, "core", None)
    shards = open_shards(made.glob)
    with pytest.warns(RuntimeWarning, match="compiled code is missing"):
        batches = shards.batches(5)
    assert [x.tobytes() for x, _ in batches] == expected
    assert isinstance(batches._maker._sources.first, FixedFetcher)


# What runs while a shard is cut under its map. A thread or a handler of others may be in the way.
CUT = """
    import faulthandler, os, signal, sys, threading
    from reader import open_shards
    from shardio.errors import DatasetError
    {before}
    shards = open_shards(sys.argv[1])
    batches = shards.batches(4, epochs=None, dtype="uint8", verify={verify})
    for _ in range(30):
        next(batches)
    {between}
    os.truncate(sys.argv[2], 10)
    try:
        for _ in range(100):
            next(batches)
    except DatasetError as error:
        print(error)
    {after}
"""
BLOCKED = "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGBUS])"


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize(
    ("before", "between"),
    [
        ("", ""),
        ("faulthandler.enable()", ""),
        ("", "faulthandler.enable()"),
        ("signal.signal(signal.SIGBUS, lambda *_: None)", ""),
        ("", "signal.signal(signal.SIGBUS, signal.SIG_DFL)"),
        (BLOCKED, ""),
    ],
)
def test_a_shard_cut_under_a_running_reader_is_an_error(
    large: Made, before: str, between: str, verify: bool
) -> None:
    done = run(CUT.format(before=before, between=between, after="", verify=verify), large)
    assert done.returncode == 0, done.stderr
    assert f"{large.shard(0)} ends at byte 10" in done.stdout


FAULT = """
    import mmap
    file = open(sys.argv[2], "r+b")
    file.truncate(1 << 20)
    memory = mmap.mmap(file.fileno(), 0)
    file.truncate(10)
    memory[1 << 19]
    print("went on")
"""


@pytest.mark.parametrize("before", ["", "faulthandler.enable()"])
def test_a_fault_of_others_ends_the_process_as_without_us(large: Made, before: str) -> None:
    after = textwrap.indent(textwrap.dedent(FAULT), "    ").strip()
    done = run(CUT.format(before=before, between="", after=after, verify=True), large)
    assert done.returncode == -7, (done.stdout, done.stderr)
    assert "went on" not in done.stdout
    assert ("Bus error" in done.stderr) == bool(before)


def test_the_signal_mask_of_a_thread_stays_its_own(made: Made) -> None:
    import signal

    found: list[Any] = []

    def work() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGBUS])
        ours, _ = fetchers(open_shards(made.glob), None, verify=True)
        ours.fetch(np.arange(5), np.zeros((5, 18), dtype=np.uint8))
        found.append(signal.SIGBUS in signal.pthread_sigmask(signal.SIG_BLOCK, []))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [True]


def run(code: str, made: Made) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), made.glob, str(made.shard(0))],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=Path(__file__).resolve().parents[3],
    )


def test_skipping_counts_once_for_each_time(made: Made) -> None:
    path = made.shard(4)
    damaged = bytearray(path.read_bytes())
    damaged[3 * made.layout.stride + 50] ^= 1
    path.write_bytes(damaged)
    shards = open_shards(made.glob)
    batches = shards.batches(37, on_error="skip", max_skipped=1, epochs=2)
    with pytest.warns(SkippedRecordWarning):
        assert len(list(batches)) == 2
    assert batches.skipped == 2
