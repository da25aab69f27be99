"""The compiled reading ahead: the bytes of Python's reading, within bounds, waiting for nobody."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converter.sources.compiled_ahead import CompiledAhead, compiled
from converter.sources.image_files import MAX_FILE_BYTES, read_image
from shardio.errors import ShardioError
from tests.converter.inputs import environment, wait_until
from tests.quiet import wait_for_threads
from tests.reader.mounts import Mount, need_fuse

assert compiled is not None, "the compiled code was not built"

ODD = ["missing", "folder", "fifo", "too large", "closed", "loop"]


def threads_here() -> int:
    return len(os.listdir("/proc/self/task"))


def is_quiet() -> bool:
    """Whether all threads but this one sleep: each has begun, and has nothing to do."""
    own = str(threading.get_native_id())
    stats = []
    for task in set(os.listdir("/proc/self/task")) - {own}:
        with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            stats.append(Path(f"/proc/self/task/{task}/stat").read_text())
    return all(stat.rpartition(")")[2].split()[0] == "S" for stat in stats)


def files_here() -> int:
    return len(os.listdir("/proc/self/fd"))


def ahead(
    locations: list[str],
    read: Callable[[str], bytes] = lambda location: b"by Python",
    *,
    threads: int = 8,
    files: int = 8,
    limit: int = 1 << 20,
    max_bytes: int = 1 << 20,
) -> CompiledAhead:
    return CompiledAhead(
        locations, read, threads=threads, files=files, limit=limit, max_bytes=max_bytes
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files named as their sizes, and others."""
    folder = tmp_path_factory.mktemp("files")
    for size in range(300):
        (folder / str(size)).write_bytes(bytes((size + n) % 251 for n in range(size)))
    (folder / "folder").mkdir()
    os.mkfifo(folder / "fifo")
    (folder / "too large").write_bytes(bytes(1001))
    (folder / "closed").write_bytes(b"x")
    (folder / "closed").chmod(0)
    (folder / "loop").symlink_to(folder / "loop")
    return folder


@settings(max_examples=200, deadline=None)
@given(
    names=st.lists(st.one_of(st.integers(0, 299).map(str), st.sampled_from(ODD)), max_size=60),
    threads=st.integers(1, 70),
    files=st.integers(0, 70),
    limit=st.integers(0, 2000),
)
def test_files_are_those_that_python_reads(
    folder: Path, names: list[str], threads: int, files: int, limit: int
) -> None:
    asked: list[str] = []

    def read(location: str) -> bytes:
        asked.append(location.rpartition("/")[2])
        return b"by Python"

    locations = [f"{folder}/{name}" for name in names]
    reading = ahead(locations, read, threads=threads, files=files, limit=limit, max_bytes=1000)
    found = [reading.take() for _ in names]
    reading.close()
    # Root may open what is closed.
    odd = [name for name in ODD if name != "closed" or not os.access(folder / name, os.R_OK)]
    assert asked == [name for name in names if name in odd]
    wanted = [b"by Python" if n in odd else (folder / n).read_bytes() for n in names]
    assert found == wanted


def test_errors_are_those_of_python(folder: Path) -> None:
    names = [name for name in ODD if name not in ("too large", "closed")]
    reading = ahead([f"{folder}/{name}" for name in names], read_image)
    for name in names:
        with pytest.raises(ShardioError) as plain:
            read_image(f"{folder}/{name}")
        with pytest.raises(type(plain.value)) as error:
            reading.take()
        assert str(error.value) == str(plain.value)


def test_names_of_any_bytes_are_opened(tmp_path: Path) -> None:
    names = [b"\xff\xfe", "字".encode(), b" a\nb"]
    locations = []
    for name in names:
        path = os.fsencode(tmp_path) + b"/" + name
        Path(os.fsdecode(path)).write_bytes(name)
        locations.append(os.fsdecode(path))
    reading = ahead(locations)
    assert [reading.take() for _ in names] == names


def test_no_more_files_are_ahead_than_may_be(tmp_path: Path) -> None:
    """Those that were begun before they were there are read by Python."""
    names = [f"{tmp_path}/{number}" for number in range(50)]
    reading = ahead(names, files=5)
    wait_until(is_quiet)
    for name in names:
        Path(name).write_bytes(b"by compiled code")
    found = [reading.take() for _ in names]
    assert found == [b"by Python"] * 6 + [b"by compiled code"] * 44


def test_no_more_bytes_are_ahead_than_may_be(tmp_path: Path) -> None:
    """What had no room when the files changed is read as it is now."""
    names = [f"{tmp_path}/{number}" for number in range(50)]
    for name in names:
        Path(name).write_bytes(b"a" * 1000)
    reading = ahead(names, limit=3500, threads=20, files=30)
    wait_until(is_quiet)
    for name in names:
        with open(name, "r+b") as file:
            file.write(b"b" * 1000)
    found = [reading.take()[:1] for _ in names]
    # The file that is waited for has its room always, maybe after three others.
    assert found.count(b"a") in (3, 4)


def test_what_is_closed_begins_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    names = [f"{tmp_path}/{number}" for number in range(500)]
    for name in names:
        Path(name).write_bytes(b"x" * 1000)
    before = threads_here(), files_here()
    for taken in (0, 1, 3, 200):
        # Threads wait for their turn, or for room.
        for limit in (1 << 20, 2500):
            reading = ahead(names, threads=30, files=50, limit=limit)
            assert all(reading.take() == b"x" * 1000 for _ in range(taken))
            reading.close()
    wait_until(lambda: (threads_here(), files_here()) == before)


def test_a_child_process_reads_by_itself(tmp_path: Path) -> None:
    names = [f"{tmp_path}/{number}" for number in range(100)]
    for number, name in enumerate(names):
        Path(name).write_bytes(b"%d" % number)
    reading = ahead(names, read_image, files=80)
    assert [reading.take() for _ in range(10)] == [b"%d" % n for n in range(10)]
    if "libasan" in os.environ.get("LD_PRELOAD", ""):
        wait_for_threads()  # or one is in its allocator, whose lock a child never gets back
    child = os.fork()
    if child == 0:
        signal.alarm(30)  # one that hangs is killed
        right = [reading.take() for _ in range(90)] == [b"%d" % n for n in range(10, 100)]
        reading.close()
        os._exit(0 if right else 1)
    assert [reading.take() for _ in range(90)] == [b"%d" % n for n in range(10, 100)]
    assert os.waitpid(child, 0)[1] == 0


def test_what_is_no_path_or_number_is_refused() -> None:
    assert compiled is not None
    for paths in ([b"a\0b"], ["text"], [None]):
        with pytest.raises((TypeError, ValueError)):
            compiled.begin(paths, 1, 1, 1, 1)
    for numbers in ((0, 1, 1, 1), (1, -1, 1, 1), (1, 1, -1, 1), (1, 1, 1, -1)):
        with pytest.raises(ValueError, match="too small"):
            compiled.begin([b"a"], *numbers)
    begun = compiled.begin([b"/nowhere"], 1, 1, 1, MAX_FILE_BYTES)
    for number in (-1, 1):
        with pytest.raises(IndexError):
            compiled.take(begun, number)
    for wrong in (None, object(), b"x"):
        with pytest.raises((TypeError, ValueError)):
            compiled.take(wrong, 0)


_HANGING = """
import sys
from converter.sources import image_files
from converter.sources.image_files import ImageFiles
image_files._SLOW_SECONDS = 0.0
# Between stretches the main thread reads, whose wait for such a folder no signal ends.
image_files._STRETCH = 1000
names = [f"{sys.argv[1]}/{number}" for number in range(1000)]
with ImageFiles(names) as files:
    for number, take in enumerate(files):
        take()
        print(number, flush=True)
        if number == 20:
            sys.stdin.readline()
"""


def test_an_interrupt_ends_the_wait_for_a_folder_that_hangs(tmp_path: Path) -> None:
    need_fuse()
    (tmp_path / "files").mkdir()
    for number in range(1000):
        (tmp_path / "files" / str(number)).write_bytes(b"x")
    mount = Mount(tmp_path / "files", tmp_path / "mounted")
    process = subprocess.Popen(
        [sys.executable, "-c", _HANGING, str(tmp_path / "mounted")],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        while process.stdout.readline() != "20\n":
            assert process.poll() is None
        mount.process.send_signal(signal.SIGSTOP)
        process.stdin.write("\n")
        process.stdin.flush()
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        # The kernel lets it end when its open files are closed, by the one that hangs.
        assert process.stderr is not None
        while process.stderr.readline() != "KeyboardInterrupt\n":
            assert process.poll() is None
    finally:
        mount.process.send_signal(signal.SIGCONT)
        process.kill()
        process.communicate()
        mount.take_away()
