"""Shards copied to a disk: the same bytes, checked, and nothing half-done that looks whole."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest

from reader import open_shards
from reader.commands.cli import main
from reader.commands.staging import Staging
from shardio.errors import (
    CorruptRecordError,
    DatasetError,
    MissingFileError,
    OptionError,
    OutputError,
    ShardioError,
    StorageError,
)
from shardio.format.naming import MANIFEST, REJECTS, STAGE, TIMES
from shardio.storage.folder_lock import lock_file
from shardio.storage.temporary import temporary_name
from tests.reader.datasets import Made, write_dataset

ROOT = Path(__file__).resolve().parents[3]


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def stage(source: object, folder: Path, split: str | None = None, **options: int) -> list[int]:
    """Stage, and return what was told of the progress."""
    told: list[int] = []
    Staging(str(source), str(folder), split).run(told.append, **options)
    return told


@pytest.fixture
def made(tmp_path: Path) -> Made:
    made = write_dataset(tmp_path / "source")
    (made.folder / REJECTS).write_bytes(b"row,path,reason\n")
    (made.folder / f"{made.shard(0).name}.idx").write_bytes(b"0 10\n")
    (made.folder / TIMES).write_bytes(b"{}\n")
    (made.folder / "notes.txt").write_bytes(b"not of the set")
    return made


@pytest.fixture
def to(tmp_path: Path) -> Path:
    return tmp_path / "disk" / "to"


@pytest.mark.parametrize("target", ["folder", "nowhere"])
@pytest.mark.parametrize("name", [".shardio", ".shardio/lock"])
def test_a_link_in_the_place_of_its_own_files_leads_nobody_out(
    made: Made, to: Path, tmp_path: Path, name: str, target: str
) -> None:
    home = tmp_path / "home"
    (home / "folder").mkdir(parents=True)
    for file in ("stage.json", "staged.json", "lock"):
        (home / "folder" / file).write_text("dear")
    (to / name).parent.mkdir(parents=True)
    (to / name).symlink_to(home / target)
    with pytest.raises(OutputError, match="is a symbolic link"):
        stage(made.folder, to)
    assert contents(home) == dict.fromkeys(contents(home), b"dear")
    assert len(contents(home)) == 3


def test_a_link_in_the_place_of_a_shard_is_replaced(made: Made, to: Path, tmp_path: Path) -> None:
    (tmp_path / "letter").write_text("dear")
    to.mkdir(parents=True)
    (to / ".shardio").mkdir()
    (to / STAGE).write_bytes(Staging(str(made.folder), str(to), None)._what)
    for name in (made.shard(0).name, temporary_name(made.shard(0).name, "stage"), MANIFEST):
        (to / name).symlink_to(tmp_path / ("nowhere" if name == MANIFEST else "letter"))
    stage(made.folder, to)
    assert contents(to) == wanted(made)
    assert (tmp_path / "letter").read_text() == "dear"
    assert not (tmp_path / "nowhere").exists()


def wanted(made: Made) -> dict[str, bytes]:
    found = contents(made.folder)
    del found["notes.txt"]
    return found


@pytest.mark.parametrize("jobs", [1, 3, 16])
def test_the_copy_is_the_set(made: Made, to: Path, jobs: int) -> None:
    told = stage(made.folder, to, jobs=jobs)
    assert contents(to) == wanted(made)
    assert not (to / ".shardio").exists()
    assert sum(told) == sum(map(len, wanted(made).values())) - len((to / MANIFEST).read_bytes())
    rows = [r for *_, found in open_shards(to).batches(1, rows=True) for r in found.tolist()]
    assert sorted(rows) == sorted(made.rows.tolist())


def test_a_url_and_a_glob_are_staged_too(made: Made, to: Path) -> None:
    files = fsspec.filesystem("memory")
    files.put(str(made.folder), f"/stage-{os.getpid()}", recursive=True)
    stage(f"memory://stage-{os.getpid()}/train-*.tfrecord", to)
    assert contents(to) == wanted(made)


def test_again_copies_nothing_and_then_only_what_is_missing_or_cut(made: Made, to: Path) -> None:
    stage(made.folder, to)
    before = {path.name: path.stat().st_ino for path in to.iterdir()}
    done = Staging(str(made.folder), str(to), None).run(lambda size: None)
    assert (done.copied, done.bytes) == (0, 0)
    (to / made.shard(2).name).unlink()
    os.truncate(to / made.shard(4).name, 10)
    done = Staging(str(made.folder), str(to), None).run(lambda size: None)
    assert done.copied == 2
    assert done.bytes == made.shard(2).stat().st_size + made.shard(4).stat().st_size
    assert contents(to) == wanted(made)
    after = {path.name: path.stat().st_ino for path in to.iterdir()}
    assert after[made.shard(0).name] == before[made.shard(0).name]


@pytest.mark.parametrize("kind", ["a reader", "storage"])
def test_what_is_not_finished_is_no_set_and_the_next_try_goes_on(
    made: Made, to: Path, kind: str
) -> None:
    calls = 0

    def stop(size: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 5:
            raise KeyboardInterrupt if kind == "a reader" else StorageError("gone")

    with pytest.raises((KeyboardInterrupt, StorageError)):
        Staging(str(made.folder), str(to), None).run(stop, jobs=1)
    assert (to / STAGE).exists()
    assert not (to / MANIFEST).exists()
    with pytest.raises(DatasetError, match=r"copy to it by `shardio-read stage` is not finished"):
        open_shards(to)
    done = Staging(str(made.folder), str(to), None).run(lambda size: None)
    assert done.kept > 0
    assert contents(to) == wanted(made)


def test_one_split_and_later_the_other(tmp_path: Path, to: Path) -> None:
    made = write_dataset(tmp_path / "source", (3, 4))
    # The same manifest, told that one shard is of another split, would not be one: so no manifest.
    (made.folder / MANIFEST).unlink()
    os.rename(made.shard(1), made.folder / "val-00000-of-00001.tfrecord")
    os.rename(made.shard(0), made.folder / "train-00000-of-00001.tfrecord")
    stage(made.folder, to, "train")
    assert set(contents(to)) == {"train-00000-of-00001.tfrecord", ".shardio/staged.json"}
    stage(made.folder, to, "val")
    assert {path.name for path in to.glob("*.tfrecord")} == {
        path.name for path in made.folder.glob("*.tfrecord")
    }
    assert len(open_shards(to, "val", shape=(2, 3, 3))) == 4


class TestWithoutAManifest:
    @pytest.fixture(autouse=True)
    def no_manifest(self, made: Made) -> None:
        (made.folder / MANIFEST).unlink()

    def test_what_was_copied_is_trusted_while_its_source_is_the_same(
        self, made: Made, to: Path
    ) -> None:
        stage(made.folder, to)
        assert len(open_shards(to, shape=(2, 3, 3))) == len(made.rows)
        assert Staging(str(made.folder), str(to), None).run(lambda size: None).copied == 0
        os.utime(made.shard(2), ns=(1, 1))
        with pytest.raises(OutputError, match="of one that has changed since"):
            stage(made.folder, to)

    def test_a_source_that_changes_meanwhile_is_told(self, made: Made, to: Path) -> None:
        def change(size: int) -> None:
            os.utime(made.shard(2), ns=(1, 1))

        with pytest.raises(DatasetError, match=f"{made.shard(2).name} was replaced while"):
            Staging(str(made.folder), str(to), None).run(change, jobs=1)

    def test_a_shard_that_is_gone_is_told(self, made: Made, to: Path) -> None:
        made.shard(2).unlink()
        with pytest.raises(OptionError, match=f"such as .*{made.shard(2).name} is missing"):
            stage(made.folder, to)


def flip(made: Made, to: Path) -> None:
    data = bytearray(made.shard(2).read_bytes())
    data[20] ^= 1
    made.shard(2).write_bytes(data)


def cut(made: Made, to: Path) -> None:
    os.truncate(made.shard(2), 20)


def remove(made: Made, to: Path) -> None:
    made.shard(2).unlink()


def another_set(made: Made, to: Path) -> None:
    write_dataset(to, seed=1)


def foreign_file(made: Made, to: Path) -> None:
    to.mkdir(parents=True)
    (to / made.shard(2).name).write_bytes(b"mine")


def a_file(made: Made, to: Path) -> None:
    to.parent.mkdir(parents=True)
    to.write_bytes(b"mine")


def unfinished(made: Made, to: Path) -> None:
    (made.folder / MANIFEST).unlink()
    (made.folder / ".shardio").mkdir()
    (made.folder / ".shardio/plan.json").write_bytes(b"{}")


@pytest.mark.parametrize(
    ("spoil", "error", "words"),
    [
        (flip, CorruptRecordError, "train-00002-of-00005.tfrecord is damaged: its SHA-256 is"),
        (cut, DatasetError, "train-00002-of-00005.tfrecord was cut"),
        (remove, DatasetError, "train-00002-of-00005.tfrecord is missing"),
        (another_set, OutputError, "holds another dataset"),
        (foreign_file, OutputError, "holds train-00002-of-00005.tfrecord of another set"),
        (a_file, StorageError, "name another folder"),
        (unfinished, DatasetError, "is not a dataset yet"),
    ],
)
def test_what_cannot_be_staged_is_told_and_nothing_is_lost(
    made: Made,
    to: Path,
    spoil: Callable[[Made, Path], None],
    error: type[ShardioError],
    words: str,
) -> None:
    spoil(made, to)
    mine = contents(to) if to.is_dir() else to.parent.exists() and to.read_bytes()
    with pytest.raises(error, match=words):
        stage(made.folder, to)
    if mine:
        assert mine == (contents(to) if to.is_dir() else to.read_bytes())
    else:
        assert not (to / made.shard(2).name).exists()
        assert not (to / MANIFEST).exists()


@pytest.mark.parametrize(
    "name", ["train-00002-of-00005.tfrecord", REJECTS, TIMES, "0.idx", MANIFEST]
)
@pytest.mark.parametrize("scheme", ["", "file://"])
def test_what_a_link_leads_out_to_is_not_copied(
    made: Made, to: Path, name: str, scheme: str
) -> None:
    link = made.folder / (f"{made.shard(0).name}.idx" if name == "0.idx" else name)
    link.rename(made.folder.parent / "elsewhere")
    link.symlink_to("../elsewhere")
    with pytest.raises(MissingFileError, match=f"{link.name} leads out of .*elsewhere; put the"):
        stage(f"{scheme}{made.folder}", to)
    assert not to.exists()


def test_links_within_the_folder_and_to_it_are_followed(made: Made, to: Path) -> None:
    want = wanted(made)
    (made.folder / "data").mkdir()
    for number in (1, 2):
        made.shard(number).rename(made.folder / f"data/{number}")
        made.shard(number).symlink_to(f"data/{number}")
    (made.folder.parent / "link").symlink_to(made.folder)
    stage(made.folder.parent / "link", to)
    assert contents(to) == want


def test_options_that_cannot_be_are_refused(made: Made, to: Path) -> None:
    with pytest.raises(OptionError, match="and the limit is 100"):
        stage(made.folder, to, limit=100)
    assert not to.exists()
    with pytest.raises(OptionError, match="is where the shards are"):
        stage(made.folder, made.folder)
    with pytest.raises(OptionError, match="not on memory://x"):
        Staging(str(made.folder), "memory://x", None)
    with pytest.raises(OptionError, match="whole splits are staged, and 4 shards"):
        stage(made.shard(2), to)
    with pytest.raises(MissingFileError, match="no shards"):
        stage(to.parent / "nowhere*", to)


def test_a_disk_that_is_too_small_is_told_before(
    made: Made, to: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = (100, 90, 10)
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("U", (), {"free": usage[2]}))
    with pytest.raises(StorageError, match="has 10 bytes free"):
        stage(made.folder, to)
    assert contents(to) == {}


def test_two_at_once_are_refused(made: Made, to: Path) -> None:
    lock = lock_file(f"{to}/.shardio/lock", "busy")
    try:
        with pytest.raises(OutputError, match="another process writes to"):
            stage(made.folder, to)
    finally:
        os.close(lock)
    stage(made.folder, to)
    assert contents(to) == wanted(made)


def test_a_process_that_was_killed_leaves_nothing_that_hinders(tmp_path: Path, to: Path) -> None:
    made = write_dataset(tmp_path / "source", (40_000,) * 12)
    for _ in range(4):
        process = subprocess.Popen(
            [sys.executable, "-m", "reader", "stage", made.folder, to, "--jobs", "2"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        seen = len(list(to.glob("*.tfrecord"))) if to.exists() else 0
        while process.poll() is None and len(list(to.glob("*.tfrecord"))) < seen + 2:
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    name = temporary_name(made.shard(11).name, "stage")
    if not (to / made.shard(11).name).exists():
        (to / name).write_bytes(b"half")
    stage(made.folder, to)
    assert contents(to) == contents(made.folder)


def test_the_command(made: Made, to: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stage", str(made.folder), str(to)]) == 0
    assert re.fullmatch(
        rf"8 files copied to {to}: \d+\.\d kB in \d+\.\d s \(\d+ MB/s\)\n", capsys.readouterr().out
    )
    assert main(["stage", str(made.folder), str(to), "--jobs", "1", "--limit", "1GB"]) == 0
    assert capsys.readouterr().out == f"all 8 files are already in {to}\n"
    with pytest.raises(SystemExit):
        main(["stage", str(made.folder), str(to), "--limit", "much"])
