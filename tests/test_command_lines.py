"""Both command lines end in order: Ctrl-C while they start, and output that nobody reads."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.converter.inputs import write_csv, write_images
from tests.reader.datasets import write_dataset

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 120


def start(
    *arguments: object,
    stdout: int = subprocess.PIPE,
    stderr: int = subprocess.PIPE,
    unbuffered: str,
) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", *map(str, arguments)]
    environment = dict(os.environ, PYTHONUNBUFFERED=unbuffered)
    return subprocess.Popen(
        command, cwd=ROOT, stdout=stdout, stderr=stderr, text=True, env=environment
    )


@pytest.fixture
def unread() -> int:
    """A pipe that nobody reads, ready to be written to."""
    read, write = os.pipe()
    os.close(read)
    return write


@pytest.fixture(params=["", "1"], ids=["buffered", "unbuffered"])
def unbuffered(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("closed", ["stdout", "both"])
@pytest.mark.parametrize("command", ["info", "verify", "convert"])
def test_a_pipe_that_nobody_reads_is_no_traceback(
    tmp_path: Path, unread: int, unbuffered: str, command: str, closed: str
) -> None:
    if command == "convert":
        (name,) = write_images(tmp_path / "images", 1, (500, 60))
        table = write_csv(tmp_path / "t.csv", ["path", "y0"], [[f"images/{name}", 0]])
        arguments = ["converter", table, tmp_path / "out"]
        if not (tmp_path / "images/0.png").exists():
            name = next((tmp_path / "images").iterdir()).name
            write_csv(table, ["path", "y0"], [[f"images/{name}", 0]])
    else:
        write_dataset(tmp_path, (5,))
        arguments = ["reader", command, tmp_path]
    stderr = unread if closed == "both" else subprocess.PIPE
    process = start(*arguments, stdout=unread, stderr=stderr, unbuffered=unbuffered)
    os.close(unread)
    try:
        _, errors = process.communicate(timeout=SECONDS)
    finally:
        process.kill()
    assert process.returncode == 128 + signal.SIGPIPE
    assert "Traceback" not in (errors or "")
    assert "BrokenPipe" not in (errors or "")
    if command == "convert":
        assert (tmp_path / "out/dataset.json").exists()


def test_a_full_disk_is_a_line(tmp_path: Path) -> None:
    write_dataset(tmp_path, (5,))
    with open("/dev/full", "w") as full:
        process = start("reader", "info", tmp_path, stdout=full.fileno(), unbuffered="")
        try:
            _, errors = process.communicate(timeout=SECONDS)
        finally:
            process.kill()
    assert process.returncode == 1
    assert errors == "shardio-read: what it has to say cannot be written: No space left on device\n"


@pytest.mark.parametrize("module", ["reader.opening.open_shards", "numpy", "reader.commands.mount"])
def test_an_interrupt_while_the_reader_starts_is_a_line(tmp_path: Path, module: str) -> None:
    """Ctrl-C comes when a module is first looked for, wherever that is in the imports."""
    script = (
        "import os, signal, sys\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {module!r}:\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupt())\n"
        "import runpy\n"
        f"sys.argv = ['shardio-read', 'info', {str(tmp_path)!r}]\n"
        "runpy.run_module('reader', run_name='__main__')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=SECONDS
    )
    assert done.returncode == 130
    assert done.stderr == "shardio-read: stopped before anything was begun\n"
