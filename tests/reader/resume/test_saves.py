"""A folder of saves holds the last one whole, wherever the process was killed."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import signal
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest

from reader.resume import Saves
from shardio.errors import DatasetError, OutputError
from tests.changes import Changes


def write(saves: Saves, number: int) -> None:
    with saves.new() as folder:
        for name in ("weights", "place"):
            (folder / name).write_text(str(number) * 50)


def read(saves: Saves) -> int:
    folder = saves.latest
    if folder is None:
        return -1
    first, second = ((folder / name).read_text() for name in ("weights", "place"))
    assert first == second
    number = int(first[: len(first) // 50])
    assert first == str(number) * 50
    return number


def test_the_last_save_is_the_latest_and_the_only_one(tmp_path: Path) -> None:
    saves = Saves(tmp_path / "new" / "saves")
    assert saves.latest is None
    for number in range(3):
        write(saves, number)
        assert read(Saves(saves.folder)) == number
    names = sorted(path.name[:5] for path in saves.folder.iterdir())
    assert names == [".lock", "lates", "save-"]


def test_a_save_that_raises_leaves_the_one_before(tmp_path: Path) -> None:
    saves = Saves(tmp_path)
    write(saves, 1)

    def fail() -> None:
        with saves.new() as folder:
            (folder / "weights").write_text("half")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert read(saves) == 1
    assert len(list(tmp_path.glob("save-*"))) == 1


def test_the_latest_is_one_that_was_finished_since_it_was_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saves, write_now = Saves(tmp_path), [True]
    write(saves, 1)
    is_dir = Path.is_dir

    def late(path: Path) -> bool:
        if write_now and write_now.pop():
            write(saves, 2)
        return is_dir(path)

    monkeypatch.setattr(Path, "is_dir", late)
    assert read(saves) == 2


def test_a_save_that_is_gone_is_an_error(tmp_path: Path) -> None:
    saves = Saves(tmp_path)
    write(saves, 1)
    assert saves.latest is not None
    shutil.rmtree(saves.latest)
    with pytest.raises(DatasetError, match="is not there; remove"):
        _ = saves.latest


@pytest.mark.parametrize("text", ["../elsewhere", "", "notes"])
def test_only_a_save_is_followed(tmp_path: Path, text: str) -> None:
    (tmp_path / "latest").write_text(text)
    (tmp_path / "notes").mkdir()
    with pytest.raises(DatasetError):
        _ = Saves(tmp_path).latest


@pytest.mark.parametrize("before", [-1, 7])
def test_a_process_that_is_killed_at_any_moment_leaves_a_whole_save(
    tmp_path: Path, before: int
) -> None:
    """It is killed before each of its changes to files, one after the other."""
    found = []
    for step in count():
        folder = tmp_path / str(step)
        if before >= 0:
            write(Saves(folder), before)
        child = os.fork()
        if not child:
            try:
                Changes(str(folder), step)
                write(Saves(folder), 8)
            except BaseException:
                os._exit(1)
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        found.append(read(Saves(folder)))
        if code == 0:
            break
        assert code == -signal.SIGKILL
        write(Saves(folder), 9)
        assert read(Saves(folder)) == 9
        assert len(list(folder.glob("save-*"))) == 1
    kept = found.count(before)
    assert kept > 3
    assert found == [before] * kept + [8] * (len(found) - kept)
    assert found[-1] == 8


def test_two_trainings_do_not_save_into_one_folder(tmp_path: Path) -> None:
    with Saves(tmp_path) as first, pytest.raises(OutputError, match="another training saves into"):
        write(Saves(tmp_path), 1)
    assert first.latest is None
    second = Saves(tmp_path)  # the block has ended
    write(second, 1)
    with pytest.raises(OutputError, match="name another folder"), Saves(tmp_path):
        pass
    assert read(Saves(tmp_path)) == 1  # anyone may read
    del second
    write(Saves(tmp_path), 2)
    assert not (tmp_path / ".lock").exists()


def test_a_process_that_was_forked_neither_keeps_the_lock_nor_ends_it(tmp_path: Path) -> None:
    """Those of a DataLoader live on for a while when the training is killed."""
    reads, writes = os.pipe()
    training = os.fork()
    if not training:
        saves = Saves(tmp_path)
        write(saves, 1)
        if not os.fork():
            with suppress(OutputError):
                write(saves, 2)
            saves.__exit__()
            os.write(writes, f"{os.getpid()}\n".encode())
        signal.pause()
    with open(reads) as told:
        worker = int(told.readline())
    try:
        with pytest.raises(OutputError):
            write(Saves(tmp_path), 3)
        os.kill(training, signal.SIGKILL)
        os.waitpid(training, 0)
        os.kill(worker, 0)
        assert read(Saves(tmp_path)) == 1
        write(Saves(tmp_path), 4)
    finally:
        os.kill(worker, signal.SIGKILL)
        os.close(writes)


def test_a_file_system_without_locks_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", none)
    with pytest.warns(UserWarning, match="without locks"):
        write(Saves(tmp_path), 1)
    assert read(Saves(tmp_path)) == 1
