"""Files that nobody closes: a collection of garbage waits for no server, and commits nothing."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFile, MemoryFileSystem
from fsspec.spec import AbstractBufferedFile

from shardio.storage import storage_for

URL = "shardio-uploads://set"


class Upload(AbstractBufferedFile):  # type: ignore[misc]
    """A file that appears when it is closed, as those of most object stores do."""

    def _initiate_upload(self) -> None:
        pass

    def _upload_chunk(self, final: bool = False) -> bool:
        if final:
            Uploads.committed.append(self.path)
            self.fs.store[self.path] = MemoryFile(self.fs, self.path, self.buffer.getvalue())
        return final

    def _fetch_range(self, start: int, end: int) -> bytes:
        return bytes(end - start)

    def close(self) -> None:
        """Close the file, if the server answers."""
        if not self.closed:
            Uploads.answer()
        super().close()


class Uploads(MemoryFileSystem):  # type: ignore[misc]
    """Notes what is committed; `answer` is called when a file is closed."""

    protocol: ClassVar[str] = "shardio-uploads"
    store: ClassVar[dict[str, Any]] = {}
    committed: ClassVar[list[str]] = []
    answer: ClassVar[Callable[[], object]] = staticmethod(lambda: None)

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return "/" + path.removeprefix(f"{cls.protocol}://").strip("/")

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Upload:
        return Upload(self, path, mode, size=100)


@pytest.fixture(autouse=True)
def uploads() -> Iterator[None]:
    fsspec.register_implementation(Uploads.protocol, Uploads, clobber=True)
    yield
    Uploads.store.clear()
    Uploads.committed.clear()
    Uploads.answer = staticmethod(lambda: None)


@pytest.fixture
def silent() -> Iterator[None]:
    """A server that does not answer while the test runs."""
    answers = threading.Event()
    Uploads.answer = staticmethod(answers.wait)
    yield
    answers.set()


class Circle:
    """Keeps something alive until garbage is collected."""

    def __init__(self, *kept: object) -> None:
        self.itself, self.kept = self, kept


def collect_in_time() -> None:
    thread = threading.Thread(target=gc.collect, daemon=True)
    thread.start()
    thread.join(60)
    assert not thread.is_alive()


def begun() -> tuple[Any, Any]:
    """Return a file that is half written, and what publishes it."""
    writing = storage_for(URL).publish(f"{URL}/a", attempt="x")
    file = writing.__enter__()
    file.write(b"half of it")
    return file, writing


def test_what_is_written_whole_is_committed() -> None:
    with storage_for(URL).publish(f"{URL}/a", attempt="x") as file:
        file.write(b"all of it")
    assert len(Uploads.committed) == 1
    assert Uploads.store["/set/a"].getvalue() == b"all of it"


@pytest.mark.parametrize("alone", [False, True])
def test_a_writer_that_is_collected_commits_nothing(alone: bool) -> None:
    file, writing = begun()
    Circle(file) if alone else Circle(file, writing)
    del file, writing
    collect_in_time()
    assert Uploads.committed == []


def test_a_writer_that_fails_commits_nothing() -> None:
    file, writing = begun()
    assert not writing.__exit__(ZeroDivisionError, ZeroDivisionError(), None)
    del file, writing
    collect_in_time()
    assert (Uploads.committed, Uploads.store) == ([], {})


@pytest.mark.usefixtures("silent")
def test_a_collection_waits_for_no_server() -> None:
    storage = storage_for(URL)
    Circle(storage.open_stream(f"{URL}/a"))
    ranges = storage.open_ranges(f"{URL}/a")
    Circle(*begun())
    collect_in_time()
    ranges.close()
    assert Uploads.committed == []


@pytest.mark.parametrize("method", ["open_stream", "open_ranges", "publish"])
def test_a_file_that_is_open_at_the_end_does_not_keep_the_process(method: str) -> None:
    code = f"""
from shardio.storage import storage_for
storage = storage_for("memory://set")
with storage.publish("memory://set/a", attempt="x") as file:
    file.write(b"bytes")
if "{method}" == "publish":
    writing = storage.publish("memory://set/b", attempt="x")
    file = writing.__enter__()
else:
    file = storage.{method}("memory://set/a")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, b"")
