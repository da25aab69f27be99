"""Files come in their order, whatever storage they are on, and within a bound."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given, settings
from hypothesis import strategies as st

from converter.sources import compiled_ahead, image_files, patience
from converter.sources.compiled_ahead import CompiledAhead
from converter.sources.files_ahead import FilesAhead
from converter.sources.image_files import ImageFiles, read_image
from shardio.errors import MissingFileError, ShardioError, StorageError, UnusableFileError
from shardio.storage import waiting
from tests.converter.inputs import environment

Found = list[bytes | type[ShardioError]]


class SlowFiles(MemoryFileSystem):  # type: ignore[misc]
    """Files in memory that take a while to come."""

    protocol = "shardio-slow"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    cachable = False
    seconds = 0.005
    clock = 0.0  # what they have taken, all together
    now = 0
    most = 0
    opened = 0
    turn = threading.Lock()
    readers: ClassVar[set[str]] = set()

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return "/" + path.removeprefix(f"{cls.protocol}://").strip("/")

    def cat_file(self, path: str, *args: Any, **options: Any) -> Any:
        cls = type(self)
        with cls.turn:
            cls.opened += 1
            cls.readers.add(threading.current_thread().name)
            cls.now += 1
            cls.most = max(cls.most, cls.now)
            cls.clock += cls.seconds
        time.sleep(cls.seconds)
        with cls.turn:
            cls.now -= 1
        return super().cat_file(path, *args, **options)


@pytest.fixture
def slow() -> Iterator[type[SlowFiles]]:
    fsspec.register_implementation(SlowFiles.protocol, SlowFiles, clobber=True)
    SlowFiles.store.clear()
    SlowFiles.most = SlowFiles.opened = 0
    files = SlowFiles()
    for number in range(100):
        files.pipe_file(f"/{number}", b"%d" % number * (number + 1))
    SlowFiles.opened = 0
    yield SlowFiles
    SlowFiles.seconds = 0.005


def read(locations: list[str]) -> Found:
    found: Found = []
    with ImageFiles(locations) as files:
        for take in files:
            try:
                found.append(take())
            except ShardioError as error:
                found.append(type(error))
    return found


def wanted(numbers: list[int]) -> Found:
    return [b"%d" % n * (n + 1) if n < 100 else MissingFileError for n in numbers]


def test_slow_files_are_read_several_at_once_in_their_order(slow: type[SlowFiles]) -> None:
    numbers = [(7 * n) % 110 for n in range(200)]
    assert read([f"shardio-slow://{n}" for n in numbers]) == wanted(numbers)
    assert 1 < slow.most <= 48


def test_quick_files_are_read_when_they_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_files, "_SLOW_SECONDS", 1e9)
    names = []
    for number in range(100):
        names.append(f"{tmp_path}/{number}")
        Path(names[-1]).write_bytes(b"%d" % number)
    before = threading.active_count()
    with ImageFiles(names) as files:
        for number, take in enumerate(files):
            # A file that is written to just before is read as it is then.
            Path(names[number]).write_bytes(b"new")
            assert take() == b"new"
        assert threading.active_count() <= before


@pytest.mark.parametrize("built", [True, False])
def test_slow_files_of_this_machine_are_read_without_the_interpreter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slow: type[SlowFiles], built: bool
) -> None:
    monkeypatch.setattr(image_files, "_SLOW_SECONDS", 0.0)
    if not built:
        monkeypatch.setattr(compiled_ahead, "compiled", None)
    names = [f"{tmp_path}/{number}" for number in range(100)]
    for number, name in enumerate(names):
        Path(name).write_bytes(b"%d" % number)
    for others in ([], ["shardio-slow://7"], [f"{tmp_path}/archive.tar::7"], ["\0"], ["\ud800"]):
        with ImageFiles(names[:50] + others) as files:
            found = [take() for _, take in zip(range(40), files, strict=False)]
            kind = FilesAhead if others or not built else CompiledAhead
            assert isinstance(files._ahead, kind)
        assert found == [b"%d" % n for n in range(40)]


def test_where_files_come_quickly_by_now_nothing_is_read_ahead(
    slow: type[SlowFiles], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk had to wake up, the index of an archive was read, a server was busy."""
    clock = type("Clock", (), {"perf_counter": staticmethod(lambda: slow.clock)})
    monkeypatch.setattr(image_files, "time", clock)
    numbers = [(7 * n) % 100 for n in range(400)]
    found: list[bytes] = []
    with ImageFiles([f"shardio-slow://{n}" for n in numbers]) as files:
        for number, take in enumerate(files):
            if number == 20:
                assert "shardio-images" in slow.readers
                slow.seconds = 0.0
            if number == 200:
                slow.readers.clear()
            found.append(take())
    assert found == wanted(numbers)
    assert slow.readers == {"MainThread"}


def test_what_is_ahead_is_bounded_in_bytes(
    slow: type[SlowFiles], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small files come first, so that nothing tells how large the others are."""
    monkeypatch.setattr(image_files, "AHEAD_BYTES", 3_000_000)
    sizes = [1000] * 40 + [700_000] * 40 + [5_000_000] * 5 + [10] * 15
    for number, size in enumerate(sizes):
        slow().pipe_file(f"/{number}", bytes(size))
    held: list[int] = []
    with ImageFiles([f"shardio-slow://{n}" for n in range(100)]) as files:
        for size, take in zip(sizes, files, strict=True):
            assert len(take()) == size
            time.sleep(0.01)  # so that those ahead get as far as they may
            if isinstance(files._ahead, FilesAhead):
                held.append(files._ahead.size)
    # Beside the bound one file that is waited for, of which it is asked twice as much.
    assert len(held) > 80
    assert max(held[:70]) <= 3_000_000 + 2 * 700_000
    assert max(held) <= 3_000_000 + 10_000_000
    assert max(held) > 1_000_000


_READ_SKEWED = """
import sys, time
import fsspec
from converter.sources import image_files
from converter.sources.image_files import ImageFiles
from shardio.heap import use_one_heap

class SlowDisk(fsspec.get_filesystem_class("file")):
    protocol = "slowdisk"
    cachable = False
    @classmethod
    def _strip_protocol(cls, path):
        return "/" + path.removeprefix("slowdisk://").strip("/")
    def _open(self, path, *args, **options):
        time.sleep(0.005)
        return super()._open(path, *args, **options)

fsspec.register_implementation("slowdisk", SlowDisk)
use_one_heap()

def peak():
    # Not of getrusage, which begins with that of the process it was forked from.
    status = dict(line.split(":") for line in open("/proc/self/status"))
    return 1000 * int(status["VmHWM"].split()[0])

small, large = sys.argv[1:3]
start = sys.argv[3]
if not start:
    image_files._SLOW_SECONDS = 0.0
locations = [f"{start}{small}"] * 40 + [f"{start}{large}"] * 60
before = peak()
total = 0
with ImageFiles(locations) as files:
    for take in files:
        total += len(take())
        time.sleep(0.01)
print(total, peak() - before)
"""


@pytest.mark.parametrize("start", ["slowdisk://", ""], ids=["Python", "compiled"])
def test_memory_is_bounded_when_small_files_come_first(tmp_path: Path, start: str) -> None:
    (tmp_path / "small").write_bytes(b"x" * 1000)
    (tmp_path / "large").write_bytes(b"x" * 20_000_000)
    done = subprocess.run(
        [
            *(sys.executable, "-c", _READ_SKEWED),
            *(str(tmp_path / "small"), str(tmp_path / "large"), start),
        ],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    total, peak = map(int, done.stdout.split())
    assert total == 40 * 1000 + 60 * 20_000_000
    # The bound, the file that is waited for and the one in use.
    assert peak < image_files.AHEAD_BYTES + 2 * 20_000_000 + 10_000_000


@settings(max_examples=100, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 300_000), min_size=1, max_size=40), limit=st.integers(1, 10**6)
)
def test_what_threads_read_ahead_is_all_there_and_within_its_bound(
    sizes: list[int], limit: int
) -> None:
    largest = 250_000

    def read(location: str, max_bytes: int) -> bytes:
        size = sizes[int(location)]
        if size > max_bytes:
            raise UnusableFileError(location)
        return bytes(size)

    seen = [0]
    locations = [str(number) for number in range(len(sizes))]
    files = FilesAhead(locations, read, seen, threads=8, files=9, limit=limit, max_bytes=largest)
    for size in sizes:
        if size > largest:
            with pytest.raises(UnusableFileError):
                files.take()
        else:
            assert len(files.take()) == size
            seen.append(size)
        # One file that is ahead may be above the limit.
        assert files.size <= max(limit, largest)
    files.close()


def test_one_who_stops_waits_for_nothing(slow: type[SlowFiles]) -> None:
    with ImageFiles([f"shardio-slow://{n}" for n in range(300)]) as files:
        for number, take in enumerate(files):
            take()
            if number == 20:
                slow.seconds = 0.5
                break
    # Those that were taken, and those that each thread had begun or began just then.
    assert slow.opened < 21 + 2 * 48


def test_an_error_of_the_storage_is_told_after_some_tries(
    slow: type[SlowFiles], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "_PAUSES", (0.0,) * 3)
    monkeypatch.setattr(patience, "_INPUT_SECONDS", 0.3)

    def fail(self: SlowFiles, path: str, *args: Any, **options: Any) -> Any:
        raise OSError("out of order")

    monkeypatch.setattr(slow, "cat_file", fail)
    monkeypatch.setattr(slow, "_open", fail)
    with pytest.raises(StorageError, match=r"out of order .*The storage is at fault"):
        read_image("shardio-slow://1")

    class StopError(Exception):
        pass

    def stop(seconds: float) -> None:
        assert seconds == 0.0
        raise StopError

    with pytest.raises(StopError):  # the pause between two tries is where a run is stopped
        read_image("shardio-slow://1", stop)
    assert read([f"shardio-slow://{n}" for n in range(9)]) == [StorageError] * 9
