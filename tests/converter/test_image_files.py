"""Files come in their order, whatever storage they are on, and within a bound."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from converter import image_files
from converter.image_files import ImageFiles, read_image
from shardio.errors import MissingFileError, ShardioError, StorageError

Found = list[bytes | type[ShardioError]]


class SlowFiles(MemoryFileSystem):  # type: ignore[misc]
    """Files in memory that take a while to come."""

    protocol = "shardio-slow"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    cachable = False
    seconds = 0.005
    now = 0
    most = 0
    opened = 0
    turn = threading.Lock()

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return "/" + path.removeprefix(f"{cls.protocol}://").strip("/")

    def cat_file(self, path: str, *args: Any, **options: Any) -> Any:
        cls = type(self)
        with cls.turn:
            cls.opened += 1
            cls.now += 1
            cls.most = max(cls.most, cls.now)
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
    assert 1 < slow.most <= 24


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


def test_what_is_ahead_is_bounded_in_bytes(
    slow: type[SlowFiles], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_files, "AHEAD_BYTES", 3000)
    for number in range(100):
        slow().pipe_file(f"/{number}", bytes(1000))
    slow.opened = 0
    with ImageFiles([f"shardio-slow://{n}" for n in range(100)]) as files:
        for number, take in enumerate(files):
            take()
            assert slow.opened <= number + 1 + 3


def test_one_who_stops_waits_for_nothing(slow: type[SlowFiles]) -> None:
    with ImageFiles([f"shardio-slow://{n}" for n in range(100)]) as files:
        for number, take in enumerate(files):
            take()
            if number == 20:
                slow.seconds = 0.5
                break
    assert slow.opened < 60


def test_an_error_of_the_storage_is_told_after_some_tries(
    slow: type[SlowFiles], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_files, "_RETRY_SECONDS", (0.0, 0.0))

    def fail(self: SlowFiles, path: str, *args: Any, **options: Any) -> Any:
        raise OSError("out of order")

    monkeypatch.setattr(slow, "cat_file", fail)
    monkeypatch.setattr(slow, "_open", fail)
    with pytest.raises(StorageError, match=r"failed 3 times: .*out of order"):
        read_image("shardio-slow://1")
    assert read([f"shardio-slow://{n}" for n in range(9)]) == [StorageError] * 9
