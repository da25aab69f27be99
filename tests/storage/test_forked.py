"""A process that is forked in the midst of a block leaves to its parent what the block is for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from reader.resume.saves import Saves
from shardio.errors import OutputError, StorageError
from shardio.storage.folder_lock import locked, try_lock, unlock
from tests.storage.forked import StopError, fork


def test_a_lock_on_a_folder_stays(tmp_path: Path) -> None:
    path = str(tmp_path / "work" / "lock")

    def within(_: None, is_fork: bool) -> None:
        if not is_fork:
            with pytest.raises(OutputError, match="busy"), locked(path, "busy"):
                pass

    assert fork(locked(path, "busy"), within) == ""
    assert not os.path.exists(path)


def test_a_lock_that_a_fork_gives_back_stays(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")

    class Held:
        def __enter__(self) -> None:
            self.lock = try_lock(path)

        def __exit__(self, *error: object) -> None:
            assert self.lock is not None
            unlock(self.lock)

    def within(_: None, is_fork: bool) -> None:
        if not is_fork:
            assert try_lock(path) is None

    assert fork(Held(), within) == ""
    lock = try_lock(path)
    assert lock is not None
    unlock(lock)


@pytest.mark.parametrize("how", ["raises", "ends"])
def test_a_save_is_its_parents(tmp_path: Path, how: str) -> None:
    def within(folder: Path, is_fork: bool) -> None:
        if is_fork and how == "raises":
            raise StopError
        if not is_fork:
            (folder / "weights").write_text("1")

    said = fork(Saves(tmp_path).new(), within)
    assert said == ("StopError" if how == "raises" else StorageError.__name__)
    latest = Saves(tmp_path).latest
    assert latest is not None
    assert (latest / "weights").read_text() == "1"
