"""A run beside which little is left: few open files, no room in /dev/shm, nobody who cleans up."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from converter.engines.shared_integers import SharedIntegers
from tests.converter.held_run import HeldRun
from tests.converter.inputs import (
    command,
    contents,
    environment,
    is_running,
    kill_group,
    maps_of,
    run,
    servers_of,
    wait_until,
    workers_of,
    write_input,
)


@pytest.fixture
def line(table: Path) -> list[str]:
    return command(table)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_input(tmp_path_factory.mktemp("input"), 40)


@pytest.fixture(scope="module")
def undisturbed(table: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("undisturbed")
    assert run(table, out, "--shards", 3, "--workers", 1).returncode == 0
    return contents(out)


def outcome(line: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        line, env=environment(), capture_output=True, text=True, timeout=300, **options
    )


@pytest.mark.slow
def test_with_few_open_files_it_works_or_says_so_in_a_line(
    line: list[str], tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    ends = set()
    for limit in [*range(6, 60, 6), *range(30, 50, 4), 100]:
        out = tmp_path / str(limit)
        result = outcome(
            [*line, str(out), "--shards", "3", "--workers", "2"],
            preexec_fn=lambda limit=limit: resource.setrlimit(
                resource.RLIMIT_NOFILE, (limit, limit)
            ),
        )
        if result.returncode == 0:
            assert contents(out) == undisturbed
        else:
            *said, error = result.stderr.splitlines()
            assert error.startswith("shardio-convert: "), (limit, result.stderr)
            assert "Too many open files" in error
            assert all(text.startswith("images: ") for text in said)
        ends.add(result.returncode)
    assert ends == {0, 1}


@pytest.mark.parametrize("options", ["ro", "size=4k"])
def test_dev_shm_may_be_read_only_or_full(
    line: list[str], tmp_path: Path, undisturbed: dict[str, bytes], options: str
) -> None:
    mount = f"mount -t tmpfs -o {options} none /dev/shm && head -c 4096 /dev/zero > /dev/shm/full;"
    inside = ["unshare", "--mount", "sh", "-c", f"{mount} test -w /dev/shm || exit 99; exec true"]
    if os.geteuid() != 0 or outcome(inside).returncode not in (0, 99):
        pytest.skip("no folder can be mounted here")
    inside[-1] = f'{mount} exec "$@"'
    out = tmp_path / "out"
    result = outcome([*inside, "sh", *line, str(out), "--shards", "3", "--workers", "2"])
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr
    assert contents(out) == undisturbed


@pytest.fixture
def started(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    many = write_input(tmp_path / "many", 300)
    held = HeldRun(tmp_path, 30)  # of 25 of a shard
    process = held.start(many, tmp_path / "out", "--shards", 12, "--workers", 2)
    yield process
    kill_group(process)


def test_nothing_lies_in_dev_shm_that_a_killed_group_could_leave(
    started: subprocess.Popen[str], tmp_path: Path
) -> None:
    wait_until(lambda: bool(list((tmp_path / "out").glob("*.tfrecord"))))
    workers = workers_of(started)
    looked_at = [maps_of(pid) for pid in (started.pid, *servers_of(started), *workers)]
    assert len(looked_at) >= 3
    named = [row for maps in looked_at for row in maps.splitlines() if b" /dev/shm/" in row]
    assert [row for row in named if not row.endswith(b" (deleted)")] == []
    kill_group(started)
    wait_until(lambda: not any(map(is_running, workers)))


def test_what_is_shared_is_given_back() -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        SharedIntegers(3)
    assert len(os.listdir("/proc/self/fd")) == before
