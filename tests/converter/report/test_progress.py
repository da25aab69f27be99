"""What a run shows while it works: a bar on a terminal, a few lines in a log."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
from pathlib import Path

import pytest

from converter.report import progress
from converter.report.progress import Lines, progress_on
from tests.converter.inputs import command, environment, write_csv, write_images

# The command line, with another time than ten seconds between two lines.
_COMMAND = """
import sys
from converter.report import progress
progress.LINE_SECONDS = float(sys.argv.pop(1))
from converter.command.cli import main
sys.exit(main(sys.argv[1:]))
"""
_LINE = (
    r"[\d,]+ of 1,500 images \(\d+%\), [\d,]+ images/s, [\d,]+\.\d MB/s in, [\d,]+\.\d MB/s out, "
    r"(\d+) rejected, (\?|[\d:]+) left"
)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    names = write_images(tmp_path / "images", 4, (500, 60))
    rows = [[f"images/{names[row % 4]}", row % 50] for row in range(1500)]
    rows[::300] = [["images/none.png", 1]] * 5
    return write_csv(tmp_path / "t.csv", ["path", "y0"], rows)


def logged(seconds: float, *arguments: object) -> str:
    """Run the converter with a line so often; returns what a log gets."""
    words = [sys.executable, "-c", _COMMAND, str(seconds), *map(str, arguments)]
    done = subprocess.run(words, env=environment(), capture_output=True, check=True)
    return done.stderr.decode("ascii")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_log_gets_plain_lines(work: Path, tmp_path: Path, workers: int) -> None:
    text = logged(0.001, work, tmp_path / "out", "--workers", workers)
    assert "\r" not in text
    # Half of the images have transparent parts, which the summary warns of.
    announced, *lines, warning = text.splitlines()
    assert announced.startswith("images: ")
    assert lines
    assert "transparent" in warning
    assert text.endswith("\n")
    for line in lines:
        assert re.fullmatch(_LINE, line), line


def test_a_short_run_leaves_no_line_of_progress_in_a_log(table: Path, tmp_path: Path) -> None:
    _, warning = logged(1e6, table, tmp_path / "out").splitlines()
    assert "transparent" in warning


@pytest.mark.parametrize("columns", [0, 130])
def test_a_terminal_gets_a_bar(work: Path, tmp_path: Path, columns: int) -> None:
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    seen = bytearray()

    def listen() -> None:
        try:
            while data := os.read(leader, 4096):
                seen.extend(data)
        except OSError:  # the other end is closed
            pass

    listener = threading.Thread(target=listen)
    listener.start()
    with subprocess.Popen(
        command(work, tmp_path / "out", "--workers", 2),
        env={**environment(), "TERM": "xterm", "TQDM_MININTERVAL": "0", "TQDM_MINITERS": "1"},
        stdout=subprocess.PIPE,
        stderr=follower,
    ) as process:
        os.close(follower)
        process.communicate(timeout=300)
    listener.join()
    os.close(leader)
    assert process.returncode == 0
    text = seen.decode()
    assert text.count("\r") > 2
    assert "1500/1500" in text
    assert re.search(r"MB/s in, [\d,]+\.\d MB/s out, 5 rejected", text)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


def test_the_numbers_are_right_also_after_a_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, stream = Clock(), io.StringIO()
    monkeypatch.setattr(progress, "time", clock)
    lines = progress_on(stream)
    assert isinstance(lines, Lines)
    lines.begin(10_000, 6000, 3)
    for _ in range(25):  # 10 images a second
        clock.now += 1
        lines.advance(10, 1_000_000, 0, 2_000_000)
    clock.now += 5
    lines.advance(0, 0, 1, 0)
    lines.close()
    assert stream.getvalue().splitlines() == [
        "6,100 of 10,000 images (61%), 10 images/s, 1.0 MB/s in, 2.0 MB/s out, 3 rejected, "
        "6:30 left",
        "6,200 of 10,000 images (62%), 10 images/s, 1.0 MB/s in, 2.0 MB/s out, 3 rejected, "
        "6:20 left",
        "6,250 of 10,000 images (62%), 8 images/s, 0.8 MB/s in, 1.7 MB/s out, 4 rejected, "
        "7:30 left",
    ]


def test_nothing_that_moves_is_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, stream = Clock(), io.StringIO()
    monkeypatch.setattr(progress, "time", clock)
    lines = progress_on(stream)
    lines.advance(0, 0, 0, 0)  # not begun
    lines.begin(10, 0, 0)
    clock.now += 11
    lines.advance(0, 0, 0, 0)
    assert "0 of 10 images (0%), 0 images/s" in stream.getvalue()
    assert stream.getvalue().endswith("? left\n")
