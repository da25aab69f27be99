"""Waits for storage are reported, can be interrupted, and end with the interpreter."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from shardio.errors import StorageError
from shardio.storage import storage_for
from shardio.storage.call import Call
from shardio.storage.waiting import Wait, interrupted_by, patiently, result_of, sleep, turn
from tests.converter.inputs import wait_until
from tests.interrupts import EARLY, Waiting

LONG = 3600.0
SIZE = 3_000_000


class _Mute(BaseHTTPRequestHandler):
    """Says how long files are, and nothing else: of `/mute`, not even that."""

    protocol_version = "HTTP/1.1"
    ended = threading.Event()
    requests: ClassVar[list[str]] = []

    def do_HEAD(self) -> None:
        self.requests.append("HEAD")
        if self.path == "/mute":
            self.ended.wait(LONG)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(SIZE))
        self.send_header("Accept-Ranges", "bytes")
        self.end_headers()

    def do_GET(self) -> None:
        self.requests.append("GET")
        self.ended.wait(LONG)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def mute() -> Iterator[str]:
    """The URL of a server that takes connections and does not answer."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Mute) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        _Mute.ended.set()
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    "action",
    [
        "storage.stat(URL + '/mute')",
        "storage.list(URL + '/mute')",
        "storage.open_ranges(URL + '/mute')",
        "storage.read_file(URL + '/file', 4_000_000)",
        "storage.open_stream(URL + '/file').read(10)",
        "storage.open_ranges(URL + '/file').read_into(0, memoryview(bytearray(9)))",
        "ThreadPoolExecutor(1, 'shardio-test').submit(storage.stat, URL + '/mute').result()",
    ],
)
def test_a_server_that_never_answers_is_reported_and_an_interrupt_ends_the_wait(
    mute: str, action: str
) -> None:
    code = (
        f"{EARLY}from concurrent.futures import ThreadPoolExecutor\n"
        f"from shardio.storage import storage_for\nURL = '{mute}'\n"
        f"storage = storage_for(URL)\n{action}\n"
    )
    waiting = Waiting([sys.executable, "-c", code])
    notice = waiting.until_reported(f"no answer from {mute}/")
    assert re.search(r"; waiting for up to \d+ seconds more$", notice)
    code_, said = waiting.interrupt()
    assert code_ == -signal.SIGINT
    # Not the error that the end of the wait would be.
    assert said[-1] == "KeyboardInterrupt"


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["reader", "info", "URL/mute"], 130),
        (["reader", "verify", "URL/mute"], 130),
        (["converter", "URL/mute.csv", "OUT"], 130),
    ],
)
def test_a_command_line_says_what_it_waits_for_and_ends_at_an_interrupt(
    mute: str, tmp_path: Path, command: list[str], code: int
) -> None:
    words = [word.replace("URL", mute).replace("OUT", str(tmp_path / "out")) for word in command]
    module = "import runpy, sys\nrunpy.run_module(sys.argv.pop(1), {}, '__main__', alter_sys=True)"
    waiting = Waiting([sys.executable, "-c", EARLY + module, *words])
    notice = waiting.until_reported(f"no answer from {mute}/mute")
    assert re.match(r"shardio-\w+: no answer", notice)
    found, said = waiting.interrupt()
    assert found == code
    assert not [line for line in said if "Traceback" in line]


def test_a_file_whose_read_was_interrupted_is_opened_again(mute: str) -> None:
    """The read goes on, and would share its position with the next one."""
    url = f"{mute}/again"
    reader = storage_for(url).open_ranges(url)
    stream = storage_for(url).open_stream(url)

    def interrupted(action: Callable[[], object]) -> None:
        requests = len(_Mute.requests)
        with (
            interrupted_by(lambda: "GET" in _Mute.requests[requests:]),
            pytest.raises(KeyboardInterrupt),
        ):
            action()

    def read() -> None:
        reader.read_into(0, memoryview(bytearray(9)))

    interrupted(read)
    opened = _Mute.requests.count("HEAD")
    interrupted(read)
    assert _Mute.requests.count("HEAD") > opened
    interrupted(lambda: stream.read(9))
    with pytest.raises(StorageError, match="open it again"):
        stream.read(9)


def hold() -> None:
    lock = threading.Lock()
    with lock, turn(lock):
        pass


def fail() -> None:
    raise TimeoutError("not now")


WAITS: dict[str, Callable[[], object]] = {
    "call": lambda: Call(threading.Event().wait, 30).result(Wait(LONG), "it"),
    "pause": lambda: patiently(fail, lambda _: True, Wait(LONG)),
    "sleep": lambda: sleep(LONG),
    "future": lambda: result_of(Future[None]()),
    "lock": hold,
}


@pytest.mark.parametrize("kind", WAITS)
def test_a_thread_that_is_told_so_is_interrupted_in_each_wait(kind: str) -> None:
    asked = threading.Event()
    errors: list[BaseException] = []

    def work() -> None:
        try:
            with interrupted_by(asked.is_set):
                WAITS[kind]()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(0.3)
    assert thread.is_alive()
    asked.set()
    thread.join(120)
    assert [type(error) for error in errors] == [KeyboardInterrupt]


class Left:
    """What a server is asked about when it is left, as the end of an open file does."""

    def __init__(self, ends: list[str]) -> None:
        self.ends = ends

    def __del__(self) -> None:
        try:
            self.ends.append(Call(lambda: "closed").result(Wait(5), "it"))
        except BaseException as error:
            self.ends.append(repr(error))


def test_a_finalizer_that_asks_never_waits_for_its_own_thread() -> None:
    ends: list[str] = []
    for _ in range(100):
        # The thread that answers is the last to hold what it returns.
        Call(Left, ends)
    wait_until(lambda: len(ends) == 100)
    assert set(ends) == {"closed"}


def test_no_thread_keeps_what_a_call_returned() -> None:
    for _ in range(3):  # the first call of a thread, and others
        found: set[int] = Call(set[int]).result(Wait(60), "it")
        kept = weakref.ref(found)
        del found
        assert kept() is None


def test_a_fork_waits_for_no_call_of_its_parent() -> None:
    code = f"""
import os, sys, threading
from shardio.storage import call
call._END_SECONDS = {LONG}
kept = call.Call(threading.Event().wait, {LONG})
if child := os.fork():
    os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
sys.exit(7)
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 7


def test_threads_of_pools_do_not_keep_the_interpreter_from_its_end() -> None:
    code = f"""
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from shardio.storage import call as calls
from shardio.storage.call import Call
from shardio.storage.waiting import Wait, sleep
calls._END_SECONDS = 1.0
began = threading.Barrier(3)
def call():
    began.wait()
    Call(threading.Event().wait, {LONG}).result(Wait({LONG}), "it")
def pause():
    began.wait()
    sleep({LONG})
pool = ThreadPoolExecutor(2, thread_name_prefix="shardio-test")
pool.submit(call), pool.submit(pause)
began.wait()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, b"")


def test_what_is_waited_for_in_other_threads_is_there_at_the_end_of_the_main_one() -> None:
    code = """
import threading
import weakref
from shardio.storage.call import Call
from shardio.storage.waiting import Wait
main = threading.main_thread()
def work():
    main.join()
    print(Call(lambda: 17 if not threading.Event().wait(0.5) else 0).result(Wait(60), "it"))
threading.Thread(target=work).start()
"""
    if sys.version_info >= (3, 12):
        pytest.skip("Python begins no thread any more")
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, env=os.environ
    )
    assert (done.stdout, done.stderr) == ("17\n", "")
