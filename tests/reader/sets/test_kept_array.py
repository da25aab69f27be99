from __future__ import annotations

import os
import pickle
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from reader.files.cache_home import cache_home
from reader.sets import kept_array
from reader.sets.kept_array import SMALL_BYTES, KeptArray, keep_array
from shardio.errors import DatasetError, MissingFileError, StorageError

LARGE = SMALL_BYTES // 8 + 1


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    return Path(cache_home("arrays"))


def counting(size: int, made_of: str = "numbers", calls: list[int] | None = None) -> KeptArray:
    def fill(array: NDArray[Any]) -> None:
        array[:] = np.arange(len(array))
        if calls is not None:
            calls.append(1)

    return keep_array(made_of, (size,), np.int64, fill)


@pytest.mark.parametrize("size", [0, 10, LARGE])
def test_an_array_is_the_same_here_and_in_another_process(size: int) -> None:
    kept = counting(size)
    assert np.array_equal(kept.array, np.arange(size))
    assert not kept.array.flags.writeable
    packed = pickle.dumps(kept)
    assert len(packed) < 2000
    again: KeptArray = pickle.loads(packed)
    assert again == kept
    assert np.array_equal(again.array, np.arange(size))


def test_a_large_one_is_made_once_and_told_by_what_it_is_made_of(home: Path) -> None:
    calls: list[int] = []
    first, second = counting(LARGE, calls=calls), counting(LARGE, calls=calls)
    assert calls == [1]
    assert first.path == second.path
    assert os.listdir(home) == [os.path.basename(str(first.path))]
    others = [counting(LARGE, "others"), counting(LARGE + 1)]
    assert len({kept.digest for kept in [first, *others]}) == 3


def test_small_ones_leave_no_file(home: Path) -> None:
    counting(10)
    assert not home.exists()


def test_what_fails_leaves_nothing_behind(home: Path) -> None:
    def fail(array: NDArray[Any]) -> None:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        keep_array("numbers", (LARGE,), np.int64, fail)
    assert os.listdir(home) == []


def test_arrays_that_nobody_uses_go(home: Path) -> None:
    old, used = counting(LARGE, "old"), counting(LARGE, "used")
    for kept in (old, used):
        os.utime(str(kept.path), (1, 1))
    counting(LARGE, "used")
    counting(LARGE, "new")
    assert not os.path.exists(str(old.path))
    assert os.path.exists(str(used.path))


@pytest.mark.parametrize("killed", [True, False])
def test_what_a_killed_process_has_half_written_goes(home: Path, killed: bool) -> None:
    """And what a living one writes stays, however long it takes."""
    code = f"""
import numpy as np, sys
from reader.sets.kept_array import keep_array
def fill(array):
    array[:] = np.arange(len(array))
    print("half", flush=True)
    sys.stdin.read()
kept = keep_array("slow", ({LARGE},), np.int64, fill)
print(int(kept.array.sum()))
"""
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], text=True, **pipes) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "half\n"
        if killed:
            process.kill()
            process.wait()
        (half,) = os.listdir(home)
        counting(LARGE, "soon after")
        assert half in os.listdir(home)
        os.utime(home / half, (time.time(), time.time() - 4000))
        counting(LARGE, "later")
        assert (half in os.listdir(home)) is not killed
        if not killed:
            assert process.communicate("")[0] == f"{sum(range(LARGE))}\n"
    calls: list[int] = []
    assert np.array_equal(counting(LARGE, "slow", calls=calls).array, np.arange(LARGE))
    assert calls == [1] * killed
    assert len(os.listdir(home)) == 3


def test_a_file_that_is_gone_or_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = pickle.loads(pickle.dumps(counting(LARGE)))
    os.unlink(kept.path)
    with pytest.raises(MissingFileError, match=r"\.npy, an array that this set needs"):
        _ = kept.array
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(StorageError, match="XDG_CACHE_HOME"):
        counting(LARGE)


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "zeros": lambda data: data[:200] + bytes(len(data) - 232) + data[-32:],
    "a bit": lambda data: data[:900] + bytes([data[900] ^ 1]) + data[901:],
    "cut": lambda data: data[:-8],
    "half": lambda data: data[: len(data) // 2],
    "the digest alone": lambda data: data[-32:],
    "empty": lambda data: b"",
    "longer": lambda data: data + b"x",
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_is_damaged_is_refused_and_made_again(damage: str) -> None:
    kept = counting(LARGE)
    path = Path(str(kept.path))
    whole = path.read_bytes()
    path.write_bytes(DAMAGE[damage](whole))
    kept_array._compared.clear()  # as in another process
    with pytest.raises(
        DatasetError, match=r"is damaged .*: open the set anew, and it is made again"
    ):
        _ = pickle.loads(pickle.dumps(kept)).array
    calls: list[int] = []
    assert np.array_equal(counting(LARGE, calls=calls).array, np.arange(LARGE))
    assert calls == [1]
    assert path.read_bytes() == whole


def test_an_array_of_another_shape_or_kind_is_made_again() -> None:
    """A whole file under the name of another array, as no program writes it."""
    first, other = counting(LARGE), counting(LARGE + 5, "others")
    os.replace(str(other.path), str(first.path))
    assert np.array_equal(counting(LARGE).array, np.arange(LARGE))
