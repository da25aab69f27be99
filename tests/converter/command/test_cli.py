"""The command line: arguments in, text and an exit code out."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import PIL
import pytest

from converter.command.cli import main
from tests.converter.inputs import contents, environment, run, write_csv, write_images

Captured = pytest.CaptureFixture[str]

OPTIONS = {
    "--crop": "L,T,R,B",
    "--size": "WxH",
    "--resample": "NAME",
    "--shards": "N",
    "--shard-size": "256MB",
    "--labels": "y0,y1,..",
    "--classes": "N",
    "--seed": "N",
    "--engine": "NAME",
    "--workers": "N",
    "--max-rejects": "1%|N",
    "--root": "FOLDER",
    "--pad": "",
    "--overwrite": "",
    "--dry-run": "",
    "--strict-decode": "",
    "--json": "",
    "--shorter-side": "N",
    "--text-labels": "",
    "--vocabulary": "FILE",
    "--split": "train=0.98,val=0.02",
    "--encode": "KIND",
    "--repair": "",
    "--version": "",
}


def outcome(*arguments: object) -> int:
    """Run in this process; returns the exit code, also of the parser."""
    try:
        return main([str(argument) for argument in arguments])
    except SystemExit as end:
        return int(end.code or 0)


def test_help_mentions_every_option(capsys: Captured) -> None:
    assert outcome("--help") == 0
    text = capsys.readouterr().out
    for name, value in OPTIONS.items():
        assert f"{name} {value}".strip() in text
    assert "TABLE" in text
    assert "OUT" in text


def test_version_names_the_decoders(capsys: Captured) -> None:
    assert outcome("--version") == 0
    text = capsys.readouterr().out
    assert f"Pillow {PIL.__version__}" in text
    assert "libjpeg" in text


def test_the_summary_for_programs_is_json(table: Path, tmp_path: Path, capsys: Captured) -> None:
    arguments = (table, tmp_path / "out", "--engine", "inline", "--json")
    assert outcome(*arguments, "--dry-run") == 0
    assert json.loads(capsys.readouterr().out)["state"] == "planned"
    assert outcome(*arguments) == 0
    found = json.loads(capsys.readouterr().out)
    rows = found["rows"]
    assert rows["read"] == rows["written"] + rows["rejected"] == found["images"] > 0
    assert found["state"] == "complete"
    assert found["bytes"] == sum(path.stat().st_size for path in tmp_path.glob("out/*.tfrecord"))
    assert found["shards"]["made"] == found["shards"]["all"]
    assert outcome(*arguments) == 0
    again = json.loads(capsys.readouterr().out)
    assert (again["rows"], again["shards"]["made"]) == (rows, 0)


BAD_ARGUMENTS = [
    ([], "required"),
    (["only-table.csv"], "OUT"),
    (["--no-such-option"], "no-such-option"),
    (["--shards", 3, "--shard-size", "1MB"], "not allowed with"),
    (["--shards", 0], "not 0"),
    (["--shards", "x"], "'x'"),
    (["--shard-size", "1XB"], "'1XB'"),
    (["--shard-size", "0"], "not '0'"),
    (["--crop", "1,2,3"], "'1,2,3'"),
    (["--crop", "5,5,5,9"], "5,5,5,9 is empty"),
    (["--crop=-1,0,5,5"], "see --pad"),
    (["--crop", "none", "--pad"], "--pad needs a box"),
    (["--size", "0x5"], "0x5"),
    (["--size", "5"], "'5'"),
    (["--size", "60000x60000"], "60000x60000"),
    (["--resample", "cubic"], "'cubic'"),
    (["--labels", "a,a"], "distinct"),
    (["--labels", "a,,b"], "not empty"),
    (["--labels", "row"], "row"),
    (["--labels", "image"], "image"),
    (["--labels", "path"], "path"),
    (["--labels", "split"], "split"),
    (["--classes", 0], "not 0"),
    (["--classes", "many"], "'many'"),
    (["--seed", -1], "not -1"),
    (["--seed", 1.5], "'1.5'"),
    (["--engine", "dask"], "'dask'"),
    (["--engine", "inline", "--workers", 2], "--workers"),
    (["--workers", 0], "not 0"),
    (["--max-rejects", "101%"], "'101%'"),
    (["--max-rejects", "9" * 5000], "limit of rejects"),
]


@pytest.mark.parametrize(("arguments", "text"), BAD_ARGUMENTS, ids=lambda value: str(value)[:40])
def test_impossible_arguments_exit_2_and_write_nothing(
    table: Path, tmp_path: Path, capsys: Captured, arguments: list[object], text: str
) -> None:
    out = tmp_path / "out"
    places = [] if not arguments or arguments[0] == "only-table.csv" else [table, out]
    assert outcome(*places, *arguments) == 2
    errors = capsys.readouterr().err
    assert errors.startswith("shardio-convert: error: ")
    assert errors.count("\n") == 1
    assert text in errors
    assert not out.exists()


@pytest.mark.parametrize("places", [("", "out"), ("t.csv", ""), ("t.csv", "memory://")])
def test_empty_names_exit_2(table: Path, capsys: Captured, places: tuple[str, str]) -> None:
    first = str(table) if places[0] else ""
    assert outcome(first, places[1], "--engine", "inline") == 2


def make_failures(folder: Path) -> dict[str, tuple[list[object], str]]:
    """Make a command line for every kind of failure, and the text that its error has."""
    (name,) = write_images(folder, 1)
    header = ["path", "y0"]
    good = write_csv(folder / "good.csv", header, [[name, 1]])
    out = folder / "out"
    (folder / "file").write_text("x")
    (folder / "foreign").mkdir()
    (folder / "plain").mkdir()
    (folder / "foreign" / "train-00000-of-00001.tfrecord").write_bytes(b"")
    return {
        "no table": ([folder / "none.csv", out], "none.csv: No such file"),
        "a folder as table": ([folder / "plain", out], "has neither images nor"),
        "no records": ([folder / "foreign", out], "holds no records"),
        "another ending": ([folder / "file", out], "must end in .csv"),
        "no column": ([good, out, "--labels", "z"], "no column z"),
        "bad label": ([write_csv(folder / "l.csv", header, [["a", "x"]]), out], "y0 is 'x'"),
        "too many classes": ([good, out, "--classes", 1], "not in 0 to 0 (1 classes)"),
        "no rows": ([write_csv(folder / "e.csv", header, []), out], "no rows"),
        "rejects": ([write_csv(folder / "r.csv", header, [["n.png", 1]]), out], "no such file"),
        "a file as OUT": ([good, folder / "file"], "file"),
        "below a file": ([good, folder / "file" / "out"], "file"),
        "foreign shards": ([good, folder / "foreign"], "--overwrite"),
        "not writable": ([good, "/proc/nowhere/out"], "/proc/nowhere/out"),
        "unknown storage": ([good, "nosuchscheme://a/out"], "nosuchscheme"),
    }


def test_failures_of_ours_exit_1_in_a_line_of_their_own(tmp_path: Path, capsys: Captured) -> None:
    for name, (arguments, text) in make_failures(tmp_path).items():
        assert outcome(*arguments, "--engine", "inline") == 1, name
        captured = capsys.readouterr()
        lines = captured.err.splitlines()
        (line,) = (number for number, x in enumerate(lines) if x.startswith("shardio-convert: "))
        assert text in "\n".join(lines[line:]), name
        assert "Traceback" not in captured.err
        assert captured.out == ""
        assert not list(tmp_path.rglob("dataset.json"))


def test_the_module_and_the_script_are_the_same(table: Path, tmp_path: Path) -> None:
    script = shutil.which("shardio-convert", path=str(Path(sys.executable).parent))
    if script is None:
        pytest.skip("shardio is not installed beside this Python: no console script")
    results: list[tuple[list[str], dict[str, bytes]]] = []
    for command in ([sys.executable, "-m", "converter"], [script]):
        out = tmp_path / f"out{len(results)}"
        result = subprocess.run(
            [*command, str(table), str(out), "--shards", "2", "--workers", "1"],
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        results.append((result.stdout.replace(str(out), "OUT").split("\n")[:2], contents(out)))
    assert results[0] == results[1]
    assert results[0][1]


def test_a_run_ends_with_a_summary(table: Path, tmp_path: Path) -> None:
    result = run(table, f"{tmp_path}/out//", "--shards", 3)
    assert result.returncode == 0, result.stderr
    assert "60 read = 60 written + 0 rejected" in result.stdout
    assert f"Pillow {PIL.__version__}" in result.stdout
    # No terminal, and no time for a line of progress; half of the images have transparent parts.
    announced, warning = result.stderr.splitlines()
    assert announced == "images: whole image of 300x40 -> 300x40 as it is"
    assert "transparent" in warning
    result = run(table, tmp_path / "out", "--shards", 3)
    assert (result.returncode, result.stderr) == (0, "")
    assert "complete already" in result.stdout


def test_a_root_that_is_no_folder_is_told_at_once(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for root in (tmp_path / "nowhere", table):
        assert outcome(table, tmp_path / "out", "--root", root) == 2
        assert f"the root {root} is no folder" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_options_reach_the_conversion(tmp_path: Path) -> None:
    write_images(tmp_path / "root", 1)
    table = write_csv(tmp_path / "t.csv", ["path", "b", "a"], [["0000.jpg", 1, 2]])
    arguments: list[object] = [table, tmp_path / "out", "--root", tmp_path / "root"]
    arguments += ["--crop=-5,0,20,20", "--pad", "--size", "7x9", "--resample", "box"]
    arguments += ["--labels", "a,b", "--classes", 30, "--seed", 4, "--engine", "inline"]
    assert outcome(*arguments) == 0
    text = "".join((tmp_path / "out" / "dataset.json").read_text().split())
    for part in (
        '"crop":[-5,0,20,20],"size":[7,9],"resample":"box","pad":true',
        '"labels":[{"name":"a","classes":30',
        '"name":"b","classes":30',
        '"seed":4',
        '"shape":[9,7,3]',
    ):
        assert part in text


def test_a_dry_run_says_what_would_be_made(table: Path, tmp_path: Path, capsys: Captured) -> None:
    assert outcome(table, tmp_path / "out", "--dry-run", "--shard-size", "600kB") == 0
    captured = capsys.readouterr()
    assert "60 rows would become 4 shards" in captured.out
    assert captured.err == ""
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_the_terminal_cannot_show_does_not_fail_the_run(
    table: Path, tmp_path: Path
) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "converter", str(table), str(tmp_path / "字"), "--shards", "1"],
        env={**environment(), "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "\\u5b57: 60 records" in result.stdout


_THREAD = (
    "import threading, time\n"
    "threading.Thread(target=time.sleep, args=(1e6,), daemon=True).start()\n"
)


@pytest.mark.parametrize("before", ["", _THREAD], ids=["alone", "beside a thread"])
def test_a_script_needs_no_guard(table: Path, tmp_path: Path, before: str) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        f"{before}from converter import convert\n"
        f"convert({str(table)!r}, {str(tmp_path / 'out')!r}, workers=2)\n"
    )
    result = subprocess.run(
        [sys.executable, str(script)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_names_command_no_terminal(tmp_path: Path, capsys: Captured) -> None:
    names = write_images(tmp_path / "images", 4, (8, 4))
    hostile = "\x1b[31mred\x07\u202e"
    rows = [[f"images/{name}", hostile, i] for i, name in enumerate(names)]
    table = write_csv(tmp_path / "t.csv", ["path", hostile, "box"], rows)
    words = ["--text-labels", "--labels", hostile, "--engine", "inline"]
    for more in (["--dry-run"], [], []):
        assert main([str(table), str(tmp_path / f"out{hostile}"), *words, *more]) == 0
        said = capsys.readouterr()
        assert all(c.isprintable() or c == "\n" for c in said.out + said.err), said
        assert "\\x1b[31mred" in said.out


def test_a_vector_of_boxes_is_used(tmp_path: Path, capsys: Captured) -> None:
    names = write_images(tmp_path / "images", 4, (8, 4))
    rows = [[f"images/{name}", "1 2 3 4", i] for i, name in enumerate(names)]
    table = write_csv(tmp_path / "t.csv", ["path", "box", "y0"], rows)
    words = [str(table), str(tmp_path / "out"), "--vector", "box", "--dry-run"]
    assert main(words) == 0
    assert "not used" not in capsys.readouterr().out
