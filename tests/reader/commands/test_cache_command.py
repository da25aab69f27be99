"""What a cache holds is listed, and cleared."""

from __future__ import annotations

import json
import logging
import os
import re
from pathlib import Path

import pytest

from reader import open_shards
from reader.commands.cli import main
from reader.shardset import ShardSet
from tests.collected import collect
from tests.reader.cached import copies, fill, opened, until, url, write_many
from tests.reader.datasets import Made

Output = pytest.CaptureFixture[str]


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return write_many(tmp_path / "set")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def filled(made: Made, cache: Path) -> ShardSet:
    shards = opened(made, cache)
    fill(shards)
    return shards


def test_sets_are_listed(made: Made, cache: Path, tmp_path: Path, capsys: Output) -> None:
    first = filled(made, cache)
    other = filled(write_many(tmp_path / "other", seed=1), cache)
    del other
    collect()
    assert main(["cache", str(cache)]) == 0
    *sets, last = capsys.readouterr().out.splitlines()
    assert last.startswith(f"2 sets in {cache}, ")
    (open_now,) = [line for line in sets if url(made) in line]
    (idle,) = [line for line in sets if url(made) not in line]
    assert re.match(r"[0-9a-f]{8}  5 of 5 shards, [\d.]+ kB of [\d.]+ kB +open now ", open_now)
    assert re.search(r"used \d{4}-\d\d-\d\d \d\d:\d\d +file://.*/other$", idle)
    assert main(["cache", str(cache), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)["sets"]
    assert [one["is_open"] for one in said].count(True) == 1
    assert sum(one["bytes"] for one in said) == sum(path.stat().st_size for path in copies(cache))
    del first


def test_all_that_nobody_has_open_is_cleared(made: Made, cache: Path, tmp_path: Path) -> None:
    first = filled(made, cache)
    other = filled(write_many(tmp_path / "other", seed=1), cache)
    notes = cache / "notes.txt"
    notes.write_text("mine")
    kept = {*copies(cache)}
    del other
    collect()
    assert main(["cache", str(cache), "--clear"]) == 0
    left = {*copies(cache)}
    assert 0 < len(left) < len(kept)
    del first
    collect()
    assert main(["cache", str(cache), "--clear"]) == 0
    assert {path.name for path in cache.rglob("*")} == {"notes.txt", ".shardio.lock"}


def test_one_set_is_cleared_by_its_id(
    made: Made, cache: Path, tmp_path: Path, capsys: Output
) -> None:
    filled(made, cache)
    filled(write_many(tmp_path / "other", seed=1), cache)
    collect()
    first, second = sorted({path.parent for path in copies(cache)})
    assert main(["cache", str(cache), "--clear", first.name[:8]]) == 0
    assert {path.parent for path in copies(cache)} == {second}
    assert re.match(rf"[\d.]+ kB removed from {cache}; 1 set left", capsys.readouterr().out)
    for text in ("x", first.name):
        with pytest.raises(SystemExit):
            main(["cache", str(cache), "--clear", text])
        assert "begins the ids of 0 sets, not of one" in capsys.readouterr().err


def test_a_set_that_is_open_stays(made: Made, cache: Path, capsys: Output) -> None:
    shards = filled(made, cache)
    name = copies(cache)[0].parent.name
    with pytest.raises(SystemExit):
        main(["cache", str(cache), "--clear", name])
    assert "is open in another process" in capsys.readouterr().err
    assert shards.cached == 5


def test_what_was_written_by_nobody_knows_whom(made: Made, cache: Path, capsys: Output) -> None:
    """Notes of another version, or none; a name that commands the terminal."""
    filled(made, cache)
    collect()
    (note,) = cache.glob("*/.open")
    for text in (b"", b"{", b'{"folders": 3}', b"[]", b"\xff", b"null"):
        note.write_bytes(text)
        assert main(["cache", str(cache)]) == 0
        assert "5 shards, " in (out := capsys.readouterr().out)
        assert "not known" in out
    note.write_text(json.dumps({"folders": ["\x1b[2J"], "shards": 5, "bytes": 9}))
    assert main(["cache", str(cache)]) == 0
    assert "\x1b" not in capsys.readouterr().out


def test_a_folder_that_is_none(tmp_path: Path, capsys: Output) -> None:
    assert main(["cache", str(tmp_path / "none")]) == 1
    assert f"there is no folder {tmp_path}/none" in capsys.readouterr().err
    assert main(["cache", str(tmp_path)]) == 0
    assert "0 sets in" in capsys.readouterr().out
    assert not os.listdir(tmp_path)


def test_a_cache_smaller_than_the_set_says_what_it_keeps(
    made: Made, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = sum(entry.bytes for entry in made.manifest.shards)
    with caplog.at_level(logging.WARNING, "shardio"):
        shards = open_shards(url(made), cache=cache, cache_limit=whole - 1)
        list(shards.batches(5))
        until(lambda: bool(caplog.messages))
    (said,) = caplog.messages
    assert re.match(
        rf"{cache} keeps 4 of the 5 shards of {url(made)}, [\d.]+ kB of [\d.]+ kB: ", said
    )
