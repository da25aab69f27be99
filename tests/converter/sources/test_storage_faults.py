"""One rule for all storage: what is missing is a reject, what fails is tried again and then stops
the run, and what can never work stops it before the first image."""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from PIL import Image

from converter import ConvertOptions, convert
from converter.sources import patience
from reader import open_shards
from shardio.errors import (
    LoginError,
    MissingExtraError,
    MissingFileError,
    ShardioError,
    StorageError,
    UnavailableError,
    UnusableFileError,
)
from shardio.format.transform import Transform
from shardio.storage import remote_call, storage_for
from shardio.storage.waiting import Wait
from tests.converter.inputs import write_csv

OPTIONS = ConvertOptions(transform=Transform(None, (8, 4)))
PASSING = [408, 425, 429, 500, 502, 503, 504, "closed", "silent", "cut"]
MISSING = [404, 410]
REJECTED = [400, 403, 414, 451]
LOGIN = [401, 407]


class Server:
    """A web server whose paths say how it answers: /200/x.png, /503/x.png, /silent/x.png."""

    def __init__(self) -> None:
        data = BytesIO()
        Image.new("RGB", (32, 16)).save(data, "PNG")
        # How many more requests fail, where they do at all.
        self.failures: float = float("inf")
        self.asked: list[str] = []
        self.released = threading.Event()
        ours = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *arguments: Any) -> None:
                pass

            def do_GET(self) -> None:
                kind = self.path.split("/")[1]
                ours.asked.append(self.path)
                if kind != "200" and ours.failures > 0:
                    ours.failures -= 1
                    if kind == "silent":
                        ours.released.wait(120)
                    elif kind == "cut":
                        self.send_response(200)
                        self.send_header("Content-Length", "10000")
                        self.end_headers()
                        self.wfile.write(b"x")
                    else:
                        self.send_response(int(kind))
                        self.send_header("Content-Length", "0")
                        self.end_headers()
                    self.close_connection = True
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(data.getvalue())))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(data.getvalue())

            do_HEAD = do_GET

        class Threads(ThreadingHTTPServer):
            request_queue_size = 200

        self._server = Threads(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        with closing(socket.socket()) as unused:
            unused.bind(("127.0.0.1", 0))
            self.closed = f"http://127.0.0.1:{unused.getsockname()[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def path(self, kind: object, name: str = "x.png") -> str:
        return f"{self.closed if kind == 'closed' else self.url}/{kind}/{name}"

    def end(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.end()


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tried for a minute is given up soon; for tests in which nothing else can answer."""
    monkeypatch.setattr(patience, "_INPUT_SECONDS", 0.2)
    monkeypatch.setattr(remote_call, "RETRY_SECONDS", 0.5)
    monkeypatch.setattr(remote_call, "_ANSWER_SECONDS", 2.0)


def run(tmp_path: Path, paths: list[str], **options: Any) -> Any:
    table = write_csv(tmp_path / "t.csv", ["path", "y0"], [[path, 0] for path in paths])
    options = {"engine": "inline", "max_rejects": "50%", **options}
    return convert(str(table), str(tmp_path / "out"), OPTIONS, **options)


@pytest.mark.parametrize("place", [0, 29])
@pytest.mark.parametrize("kind", [*MISSING, *REJECTED])
def test_what_is_not_there_or_not_ours_is_a_reject(
    tmp_path: Path, server: Server, kind: int, place: int
) -> None:
    paths = [server.path(200, f"{number}.png") for number in range(30)]
    paths[place] = server.path(kind)
    summary = run(tmp_path, paths)
    assert (summary.records, summary.rejected) == (29, 1)
    assert len(open_shards(tmp_path / "out")) == 29
    reason = (tmp_path / "out/rejects.csv").read_text()
    assert ("no such file" in reason) == (kind in MISSING)


# Of a server that says nothing the answer is waited for, several times.
@pytest.mark.parametrize("place", [0, 5])
@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=[pytest.mark.slow] * (kind == "silent")) for kind in PASSING],
)
def test_what_fails_stops_the_run_which_goes_on_later(
    tmp_path: Path, server: Server, kind: object, place: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [server.path(200, f"{number}.png") for number in range(8)]
    paths[place] = server.path(kind)
    with monkeypatch.context() as patch:
        patch.setattr(patience, "_INPUT_SECONDS", 0.2)
        patch.setattr(remote_call, "_ANSWER_SECONDS", 3.0 if kind == "silent" else 30.0)
        with pytest.raises(StorageError, match=r"is at fault") as caught:
            run(tmp_path, paths)
    assert paths[place] in str(caught.value)
    assert not (tmp_path / "out/dataset.json").exists()
    if kind == "closed":
        return
    server.released.set()
    server.failures = 0
    assert run(tmp_path, paths).records == 8


@pytest.mark.parametrize("kind", [kind for kind in PASSING if kind not in ("closed", "silent")])
def test_what_fails_for_a_moment_is_tried_again(
    tmp_path: Path, server: Server, kind: object
) -> None:
    server.failures = 1
    assert run(tmp_path, [server.path(kind), server.path(200)]).records == 2


@pytest.mark.parametrize("kind", LOGIN)
def test_a_refused_login_is_told_before_the_first_image(
    tmp_path: Path, server: Server, kind: int
) -> None:
    paths = [server.path(kind), *(server.path(200, f"{number}.png") for number in range(5))]
    with pytest.raises(StorageError, match=r"row 0: .*the login is refused"):
        run(tmp_path, paths)
    assert not [path for path in server.asked if "/200/" in path]
    # Where the server lets us in, one file that it keeps is but a reject.
    server.asked.clear()
    assert run(tmp_path, paths[::-1]).rejected == 1


@pytest.mark.parametrize(
    ("path", "error", "words"),
    [
        ("nosuch://host/x.png", StorageError, "row 3: nosuch://host is not a known storage"),
        ("hdfs://me@host/x.png", StorageError, r"row 3: .*HADOOP_USER_NAME"),
    ],
)
def test_what_can_never_work_is_told_before_the_first_image(
    tmp_path: Path, server: Server, path: str, error: type[ShardioError], words: str
) -> None:
    paths = [server.path(200, "x.png")] * 3 + [path] + [server.path(200, "y.png")] * 3
    with pytest.raises(error, match=words):
        run(tmp_path, paths)
    assert not [path for path in server.asked if "y.png" in path]
    assert not list((tmp_path / "out").rglob("*.tfrecord"))


class Refusing(MemoryFileSystem):  # type: ignore[misc]
    """Fails as `error` says when it is made, which is when others log in."""

    protocol = "shardio-refusing"
    cachable = False
    error: ClassVar[Exception]

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        raise type(self).error


class AuthenticationException(Exception):
    """As paramiko says it."""


@pytest.mark.parametrize(
    ("foreign", "kind"),
    [
        (AuthenticationException("no"), LoginError),
        (OSError("530 Login incorrect."), LoginError),
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), UnavailableError),
        (TimeoutError(), UnavailableError),
        (EOFError(), UnavailableError),
        (OSError(errno.EIO, "Input/output error"), StorageError),
        (PermissionError("no"), UnusableFileError),
        (FileNotFoundError("no"), MissingFileError),
        (ImportError("no paramiko"), MissingExtraError),
        (RuntimeError("whatever"), StorageError),
    ],
)
def test_errors_of_file_systems_become_ours(
    monkeypatch: pytest.MonkeyPatch, foreign: Exception, kind: type[ShardioError]
) -> None:
    monkeypatch.setattr(remote_call, "RETRY_SECONDS", 0.2)
    fsspec.register_implementation(Refusing.protocol, Refusing, clobber=True)
    Refusing.error = foreign
    storage = storage_for("shardio-refusing://host/x")
    for action in (storage.stat, storage.open_ranges, lambda path: storage.read_file(path, 10)):
        with pytest.raises(kind) as caught:
            action("shardio-refusing://host/x")
        assert type(caught.value) is kind
        assert "shardio-refusing://host" in str(caught.value)


def test_reading_goes_on_when_a_server_is_back(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = server.path(503)
    server.failures = 0
    file = storage_for(path).open_ranges(path)
    memory = bytearray(50)

    def read() -> bytes:
        return bytes(memory[: file.read_into(0, memoryview(memory))])

    want = read()
    server.failures = 2
    assert read() == want
    server.failures = float("inf")
    monkeypatch.setattr(remote_call, "RETRY_SECONDS", 0.2)
    with pytest.raises(UnavailableError):
        read()
    server.failures = 0
    assert read() == want
    file.close()


def test_a_server_that_was_waited_for_in_vain_is_tried_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path, tries = "shardio-gone://host/x", []

    def fails() -> None:
        tries.append(path)
        raise UnavailableError(path)

    monkeypatch.setattr(Wait, "left", property(lambda wait: 60.0 if len(tries) < 2 else 0.0))
    with pytest.raises(UnavailableError):
        remote_call.ask_again(path, fails)
    assert len(tries) == 2
    monkeypatch.undo()
    tries.clear()
    with pytest.raises(UnavailableError):
        remote_call.ask_again(path, fails)
    assert len(tries) == 1
    # It is back, and waited for again.
    assert remote_call.ask_again(path, lambda: 7) == 7
    answers: Iterator[Callable[[], object]] = iter([fails, lambda: 8])
    assert remote_call.ask_again(path, lambda: next(answers)()) == 8


def test_the_last_try_ends_with_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in {
        "RETRY_SECONDS": 0.1,
        "_TRY_SECONDS": 0.1,
        "_ANSWER_SECONDS": 600,
    }.items():
        monkeypatch.setattr(remote_call, name, seconds)
    path, answers = "shardio-mute://host/x", threading.Event()
    try:
        with pytest.raises(UnavailableError, match="no answer from the server"):
            remote_call.ask_again(path, lambda: remote_call.ask(path, answers.wait))
    finally:
        answers.set()


@pytest.mark.usefixtures("short")
def test_a_call_that_was_given_up_does_not_share_its_file(server: Server) -> None:
    path = server.path("silent")
    server.failures = 0
    stream = storage_for(path).open_stream(path)
    server.failures = float("inf")
    with stream:
        with pytest.raises(UnavailableError, match="no answer"):
            stream.read(5)
        server.released.set()
        with pytest.raises(StorageError, match="open it again"):
            stream.read(5)
