"""Usage errors of both command lines: one line, which names what was meant."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from converter.command.call import IN_MAKE, Call
from converter.command.cli import main as convert
from reader.commands.cli import main as read
from shardio.grammar import counted
from tests.reader.datasets import write_dataset

ROOT = Path(__file__).resolve().parents[1]
Captured = pytest.CaptureFixture[str]


@pytest.mark.parametrize(
    ("main", "line", "said"),
    [
        (convert, "t.csv out --sise 6x6", "no option --sise; did you mean --size?"),
        (convert, "--corp=1,2,3,4 t.csv out", "no option --corp; did you mean --crop?"),
        (convert, "t.csv out --zzzz", "no option --zzzz; see"),
        (convert, "t.csv out --engine inlin", "no --engine 'inlin'; did you mean inline?"),
        (convert, "t.csv out --engine dask", "choose from processes, inline"),
        (convert, "t.csv out --crop-columns a,b,c,d", "l=a,t=b,r=c,b=d"),
        (convert, "t.csv", "required: OUT"),
        (read, "inof shards", "no COMMAND 'inof'; did you mean info?"),
        (read, "info shards --splt val", "no option --splt; did you mean --split?"),
        (read, "--splt info", "no option --splt"),
        (read, "info", "required: GLOB"),
    ],
)
def test_a_usage_error_is_one_line(capsys: Captured, main: object, line: str, said: str) -> None:
    with pytest.raises(SystemExit) as caught:
        main(shlex.split(line))  # type: ignore[operator]
    assert caught.value.code == 2
    text = capsys.readouterr().err
    assert said in text
    assert text.count("\n") == 1
    assert "--help" in text


@pytest.mark.parametrize(
    ("main", "line"),
    [
        (read, "show shards --seed -1 -o a.png"),
        (read, "show shards --row 1 --where y0=1 -o a.png"),
        (read, "info shards --split 1val"),
        (read, "info shards --n 3"),
        (read, "cache folder --clear zzz"),
        (convert, "show t.csv -o a.png --n 0"),
    ],
)
def test_an_error_names_the_help_of_the_command(
    capsys: Captured, tmp_path: Path, main: object, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it is found: by the parser, or after it."""
    monkeypatch.chdir(tmp_path)
    write_dataset(tmp_path / "shards")
    (tmp_path / "folder").mkdir()
    with pytest.raises(SystemExit) as caught:
        main(shlex.split(line))  # type: ignore[operator]
    assert caught.value.code == 2
    text = capsys.readouterr().err
    program = "shardio-read" if main is read else "shardio-convert"
    command = line.partition(" ")[0]
    assert text.startswith(f"{program} {command}: error: ")
    assert text.endswith(f"; see {program} {command} --help\n")


def test_in_make_hints_speak_of_its_variables(capsys: Captured) -> None:
    with pytest.raises(SystemExit):
        convert([IN_MAKE, "t.csv", "out", "--sise", "6x6"])
    assert "(in make: ARGS='--sise ...')" in capsys.readouterr().err
    call = Call([IN_MAKE, "a b.csv", "out", "--seed", "1"])
    typed = call.with_options("--size 8x8")
    assert shlex.split(typed) == [
        *("make", "shards", "TABLE=a b.csv", "OUT=out", "ARGS=--seed 1 --size 8x8")
    ]
    assert Call(["t.csv", "out"]).hint("give --size") == ""


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ((1, "shard"), "1 shard"),
        ((0, "shard"), "0 shards"),
        ((2000, "index", "was"), "2,000 indexes were"),
        ((1, "index", "has"), "1 index has"),
        ((3, "class"), "3 classes"),
        ((2, "other size"), "2 other sizes"),
        ((2, "other index"), "2 other indexes"),
        ((2, "copy"), "2 copies"),
    ],
)
def test_words_agree_with_their_number(words: tuple[int, str], text: str) -> None:
    assert counted(*words) == text


@pytest.mark.skipif(shutil.which("make") is None, reason="it is about make")
@pytest.mark.parametrize("table", ["missing.csv", "no/folder/*.csv"])
def test_make_looks_for_the_table_before_it_installs_anything(tmp_path: Path, table: str) -> None:
    venv = tmp_path / "venv"
    done = subprocess.run(
        ["make", "-j4", "shards", f"TABLE={tmp_path}/{table}", f"VENV={venv}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 2
    assert f"there is no {tmp_path}/{table}" in done.stderr
    assert "installing" not in done.stdout
    assert not venv.exists()
