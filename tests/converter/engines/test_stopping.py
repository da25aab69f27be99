"""A run stops quickly, whatever its workers are doing, and says why it ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from converter import convert
from tests.converter.held_run import HeldRun
from tests.converter.inputs import (
    command,
    contents,
    environment,
    is_running,
    kill_group,
    maps_of,
    run,
    servers_of,
    start,
    wait_until,
    workers_of,
    write_csv,
    write_images,
)

# A worker that does not stop by itself is killed after one second; a busy machine takes longer.
STOP_SECONDS = 60

_SLOW_FILES = """
import os, time
from fsspec.implementations.local import LocalFileSystem

class SlowFiles(LocalFileSystem):
    protocol = "shardio-tenminutes"
    @classmethod
    def _strip_protocol(cls, path):
        return "/" + path.removeprefix("shardio-tenminutes://").strip("/")
    def _open(self, path, *args, **options):
        open(os.environ["OPENED"], "a").write(f"{os.getpid()}\\n")
        time.sleep(600)
        raise OSError("out of order")
"""


@pytest.fixture
def slow_storage(tmp_path: Path) -> dict[str, str]:
    """An environment in which any process knows a storage that takes ten minutes to fail."""
    plugin = tmp_path / "plugin"
    (plugin / "slowfiles-1.0.dist-info").mkdir(parents=True)
    (plugin / "slowfiles.py").write_text(_SLOW_FILES)
    info = plugin / "slowfiles-1.0.dist-info"
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: slowfiles\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[fsspec.specs]\nshardio-tenminutes = slowfiles.SlowFiles\n"
    )
    known = environment()
    known["PYTHONPATH"] += f":{plugin}"
    return known | {"OPENED": str(tmp_path / "opened")}


def start_in(known: dict[str, str], *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(*arguments),
        env=known,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def interrupt(process: subprocess.Popen[str], number: int = signal.SIGINT) -> tuple[float, str]:
    """Send a signal as a terminal does, to the whole group; returns seconds and errors."""
    began = time.monotonic()
    os.killpg(process.pid, number)
    _, errors = process.communicate(timeout=300)
    return time.monotonic() - began, errors


@pytest.mark.parametrize("engine", ["processes", "inline"])
def test_workers_that_wait_for_a_slow_storage_are_not_waited_for(
    tmp_path: Path, slow_storage: dict[str, str], engine: str
) -> None:
    names = write_images(tmp_path, 1)
    rows: list[list[object]] = [[names[0], 1]] * 200
    rows += [[f"shardio-tenminutes://{tmp_path}/{n}", 1] for n in range(200)]
    table = write_csv(tmp_path / "t.csv", ["path", "y0"], rows)
    out = tmp_path / "out"
    options = ["--workers", 2] if engine == "processes" else ["--engine", "inline"]
    process = start_in(slow_storage, table, out, "--shards", 4, *options)
    opened = Path(slow_storage["OPENED"])
    try:
        wait_until(lambda: opened.exists() and len(opened.read_text().split()) > 0)
        workers = workers_of(process)
        seconds, errors = interrupt(process)
    finally:
        kill_group(process)
    assert process.returncode == 130
    assert errors.splitlines()[-1].startswith("shardio-convert: stopped. Finished shards are kept")
    assert "Traceback" not in errors
    assert seconds < STOP_SECONDS
    assert not any(map(is_running, workers))
    assert not list(out.rglob("*.tmp"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_workers_are_forked_from_ends_with_the_wait_for_the_table(
    tmp_path: Path, slow_storage: dict[str, str], number: int
) -> None:
    table = f"shardio-tenminutes://{write_csv(tmp_path / 't.csv', ['path', 'y0'], [])}"
    process = start_in(slow_storage, table, tmp_path / "out", "--workers", 3)
    opened = Path(slow_storage["OPENED"])
    try:
        wait_until(lambda: opened.exists() and len(opened.read_text().split()) > 0)
        servers = servers_of(process)
        assert len(servers) == 1
        seconds, errors = interrupt(process, number)
    finally:
        kill_group(process)
    assert process.returncode == 128 + number
    assert errors.startswith("shardio-convert: stopped")
    assert errors.count("\n") == 1
    assert seconds < STOP_SECONDS
    wait_until(lambda: not any(map(is_running, servers)))


@pytest.fixture
def large_images(tmp_path: Path) -> Path:
    """A table of images of 88 megapixels; a worker takes seconds for each."""
    Image.new("RGB", (9900, 8900), (1, 2, 3)).save(tmp_path / "a.png", compress_level=1)
    return write_csv(tmp_path / "t.csv", ["path", "y0"], [["a.png", n] for n in range(20)])


@pytest.mark.slow
def test_workers_that_decode_a_large_image_are_not_waited_for(
    large_images: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    process = start(large_images, out, "--workers", 2, "--shards", 2, "--crop", "none")
    try:
        wait_until(lambda: bool(list(out.glob(".train-*.tmp"))))
        time.sleep(0.5)
        seconds, errors = interrupt(process)
    finally:
        kill_group(process)
    assert process.returncode == 130
    assert "shardio-convert: stopped" in errors
    assert seconds < STOP_SECONDS
    assert not list(out.rglob("*.tmp"))


@pytest.mark.parametrize("module", [b"_multiarray", b"crc32c", b"_imaging"])
def test_an_interrupt_during_the_imports_is_a_line(
    table: Path, tmp_path: Path, module: bytes
) -> None:
    process = start(table, tmp_path / "out", "--workers", 2)
    try:
        wait_until(lambda: module in maps_of(process.pid) or process.poll() is not None)
        assert process.poll() is None
        _, errors = interrupt(process)
    finally:
        kill_group(process)
    # An import that runs code from C makes Python end itself by the signal, after all is said.
    assert process.returncode in (130, -signal.SIGINT), errors
    assert errors.count("\n") == 1
    assert errors.startswith("shardio-convert: stopped")
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.fixture
def work(tmp_path: Path) -> Path:
    names = write_images(tmp_path / "images", 4, (500, 60))
    rows = [[f"images/{names[row % 4]}", row % 50] for row in range(1500)]
    return write_csv(tmp_path / "t.csv", ["path", "y0"], rows)


@pytest.fixture
def held(tmp_path: Path) -> HeldRun:
    """A run whose workers wait in the midst of their second shards, of 125 images each."""
    return HeldRun(tmp_path, 130)


@pytest.fixture
def started(held: HeldRun, work: Path, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    process = held.start(work, tmp_path / "out", "--workers", 2, "--shards", 12)
    yield process
    kill_group(process)


@pytest.mark.parametrize("group", [False, True])
def test_termination_is_as_clean_as_an_interrupt(
    started: subprocess.Popen[str], tmp_path: Path, group: bool
) -> None:
    out = tmp_path / "out"
    wait_until(lambda: bool(list(out.glob("*.tfrecord"))))
    workers = workers_of(started)
    (os.killpg if group else os.kill)(started.pid, signal.SIGTERM)
    _, errors = started.communicate(timeout=300)
    assert started.returncode == 143
    assert "Traceback" not in errors
    assert "shardio-convert: stopped" in errors
    assert not any(map(is_running, workers))
    assert not list(out.rglob("*.tmp"))


@pytest.mark.parametrize(("extra", "text"), [([], "again to"), (["--overwrite"], "without --over")])
def test_the_command_that_goes_on_is_named(
    held: HeldRun, work: Path, tmp_path: Path, extra: list[str], text: str
) -> None:
    """With --overwrite it would begin anew."""
    process = held.start(work, tmp_path / "out", "--workers", 2, "--shards", 12, *extra)
    try:
        wait_until(lambda: bool(list((tmp_path / "out").glob("*.tfrecord"))))
        _, errors = interrupt(process)
    finally:
        kill_group(process)
    assert text in errors
    if extra:  # tests/converter/test_restart.py goes on without it
        result = run(work, tmp_path / "out", "--workers", 2, "--shards", 12)
        assert "finished before" in result.stdout


def test_workers_outlive_what_they_were_forked_from(
    held: HeldRun, started: subprocess.Popen[str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    wait_until(lambda: bool(list(out.glob("*.tfrecord"))))
    workers = workers_of(started)
    (server,) = servers_of(started)
    os.kill(server, signal.SIGKILL)
    held.release()
    _, errors = started.communicate(timeout=300)
    assert (started.returncode, "Traceback" in errors) == (0, False)
    wait_until(lambda: not any(map(is_running, workers)))


_KILLED = """
import os, signal, sys
if "multiprocessing.forkserver" in " ".join(sys.orig_argv):
    os.register_at_fork(after_in_child=lambda: os.kill(os.getpid(), signal.SIGKILL))
"""


def test_workers_that_are_killed_at_once_are_told(work: Path, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(_KILLED)
    known = environment()
    known["PYTHONPATH"] += f":{tmp_path}"
    process = start_in(known, work, tmp_path / "out", "--workers", 2)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "died (killed, or out of memory) before they had started" in errors
    assert "Traceback" not in errors


def python(*arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        env=environment(),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


_CALL = "from converter import convert\nconvert({table!r}, {out!r}, workers=2)\n"
_FROM_A_THREAD = """
import threading
from converter import convert
done = []
thread = threading.Thread(target=lambda: done.append(convert({table!r}, {out!r}, workers=2)))
thread.start()
thread.join()
assert done
"""
_TWICE = """
import os, signal, threading, time
from multiprocessing import forkserver
from converter import convert
threading.Thread(target=time.sleep, args=(1e6,), daemon=True).start()
convert({table!r}, {out!r} + "-first", workers=2)
server = forkserver._forkserver._forkserver_pid
os.kill(server, signal.SIGKILL)
os.waitid(os.P_PID, server, os.WEXITED | os.WNOWAIT)  # until then it is taken for one that runs
convert({table!r}, {out!r}, workers=2)
"""
# A notebook's main module has no file.
_NOTEBOOK = """
import sys, types
main = types.ModuleType("__main__")
sys.modules["__main__"] = main
exec({code!r}, main.__dict__)
"""


@pytest.mark.parametrize("how", ["script", "stdin", "-c", "thread", "twice", "notebook"])
def test_workers_start_wherever_the_call_comes_from(table: Path, tmp_path: Path, how: str) -> None:
    places = {"table": str(table), "out": str(tmp_path / "out")}
    code = {"thread": _FROM_A_THREAD, "twice": _TWICE}.get(how, _CALL).format(**places)
    if how == "notebook":
        code = _NOTEBOOK.format(code=code)
    (tmp_path / "script.py").write_text(code)  # its call lies outside of any function
    words = {"script": [str(tmp_path / "script.py")], "stdin": ["-"]}.get(how, ["-c", code])
    result = python(*words, stdin=code if how == "stdin" else None)
    assert (result.returncode, result.stderr) == (0, "")
    convert(str(table), str(tmp_path / "other"), engine="inline")
    assert contents(tmp_path / "out") == contents(tmp_path / "other")
