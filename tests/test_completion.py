"""Both command lines complete words in a shell, and are quiet when they are told to."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from converter.command.cli import main as convert
from reader.commands.cli import main as read
from tests.converter.inputs import BOXED_OPTIONS, write_csv, write_images
from tests.reader.datasets import write_dataset

ROOT = Path(__file__).resolve().parents[1]
MODULES = {"shardio-read": "reader", "shardio-convert": "converter"}


def completed(tmp_path: Path, line: str) -> set[str]:
    """Ask as argcomplete's function for bash does; returns the words that are proposed."""
    answer = tmp_path / "answer"
    environment = dict(
        os.environ,
        _ARGCOMPLETE="1",
        _ARGCOMPLETE_IFS="\n",
        _ARGCOMPLETE_STDOUT_FILENAME=str(answer),
        COMP_LINE=line,
        COMP_POINT=str(len(line)),
        COMP_TYPE="9",
    )
    command = [sys.executable, "-m", MODULES[line.split()[0]]]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == done.stderr == ""
    return set(answer.read_text().split())


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("shardio-read re", {"report"}),
        ("shardio-read show --s", {"--split", "--shape", "--seed", "--size"}),
        ("shardio-convert t.csv out --engine p", {"processes"}),
        ("shardio-convert t.csv out --over", {"--overwrite"}),
        ("shardio-convert show t.csv --over", set()),
        ("shardio-convert show t.csv --channels ", {"1", "3", "4"}),
    ],
)
def test_words_are_completed(tmp_path: Path, line: str, words: set[str]) -> None:
    assert completed(tmp_path, line) == words


def test_quiet_commands_say_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = write_dataset(tmp_path / "set")
    for words in (
        ["verify", str(made.folder)],
        ["stage", str(made.folder), str(tmp_path / "copy")],
        ["show", str(made.folder), "-o", str(tmp_path / "a.png")],
        ["report", str(made.folder), "-o", str(tmp_path / "a.html")],
    ):
        assert read([*words, "--quiet"]) == 0
        assert capsys.readouterr() == ("", ""), words
    assert {"copy", "a.png", "a.html"} <= set(os.listdir(tmp_path))
    assert read(["verify", str(made.folder), "--quiet", "--json"]) == 0
    assert capsys.readouterr().out.startswith("{")


def test_a_quiet_command_names_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = write_dataset(tmp_path)
    data = bytearray(made.shard(0).read_bytes())
    data[70] ^= 1
    made.shard(0).write_bytes(data)
    assert read(["verify", str(tmp_path), "--quiet"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "record 0" in err


def test_a_quiet_conversion_warns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (name,) = write_images(tmp_path / "images", 1, (320, 60))
    table = write_csv(tmp_path / "t.csv", ["path", "y0"], [[f"images/{name}", 3]])
    words = [str(table), str(tmp_path / "out"), *BOXED_OPTIONS, "--engine", "inline", "--quiet"]
    assert convert(words) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert all("warning: " in line for line in err.splitlines())
