"""Whatever kills a conversion, the same command finishes it, and the files are the same."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from converter import ConvertOptions, convert
from converter.shards.output import OutputFolder
from shardio.errors import ManifestError, OutputError
from shardio.format.naming import ShardName
from tests.converter.held_run import HeldRun
from tests.converter.inputs import (
    BOXED,
    BOXED_OPTIONS,
    contents,
    is_running,
    kill_group,
    maps_of,
    run,
    servers_of,
    wait_until,
    workers_of,
    write_csv,
    write_images,
    write_input,
)

SHARDS = 20
# Before which image each of the two workers waits, of 75 of a shard.
MOMENTS = {"plan": 0, "importing": 0, "half-written": 5, "2": 80, "4": 155}
OPTIONS = (*BOXED_OPTIONS, "--shards", SHARDS, "--workers", 2, "--max-rejects", "1%")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of which a few rows are rejects."""
    folder = tmp_path_factory.mktemp("work")
    names = write_images(folder / "images", 4, (500, 60))
    rows = [[f"images/{names[row % 4]}", row % 50] for row in range(1500)]
    rows[::300] = [["images/none.png", 1]] * 5
    return write_csv(folder / "t.csv", ["path", "y0"], rows)


@pytest.fixture(scope="module")
def undisturbed(work: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files that an undisturbed run makes."""
    out = tmp_path_factory.mktemp("undisturbed")
    result = run(work, out, *OPTIONS)
    assert result.returncode == 0, result.stderr
    return contents(out)


Begin = Callable[[str], tuple[subprocess.Popen[str], list[int]]]


@pytest.fixture
def begin(work: Path, tmp_path: Path) -> Iterator[Begin]:
    """A function that starts the same command, again and again, and waits until a moment of it.

    A number is one of shards that it has finished. It returns the process and its workers, which go
    no further until `tmp_path / "released"` is there.
    """
    out = tmp_path / "out"
    with ExitStack() as stack:

        def begin(moment: str) -> tuple[subprocess.Popen[str], list[int]]:
            shards, halves = shards_in(out), set(out.glob(".train-*.tmp"))
            process = HeldRun(tmp_path, MOMENTS[moment]).start(work, out, *OPTIONS)
            stack.callback(kill_group, process)
            if moment == "plan":
                wait_until((out / ".shardio" / "plan.json").exists)
            elif moment == "importing":
                # What has loaded NumPy's code is in the middle of its imports.
                wait_until(
                    lambda: any(b"multiarray" in maps_of(pid) for pid in servers_of(process))
                )
            elif moment == "half-written":
                wait_until(lambda: bool(set(out.glob(".train-*.tmp")) - halves))
            else:
                wait_until(lambda: shards_in(out) >= shards + int(moment))
            assert process.poll() is None, "it has failed"
            return process, workers_of(process)

        yield begin


def shards_in(out: Path) -> int:
    return len(list(out.glob("*.tfrecord")))


def finished(out: Path) -> dict[str, int]:
    """Return the files of the shards of a run that has not come to its end."""
    assert not (out / "dataset.json").exists()
    return {path.name: path.stat().st_ino for path in out.glob("*.tfrecord")}


def assert_goes_on(work: Path, out: Path, undisturbed: dict[str, bytes]) -> None:
    """Run the same command again; it must keep what is finished, and end with the same files."""
    kept = finished(out)
    result = run(work, out, *OPTIONS)
    assert result.returncode == 0, result.stderr
    assert contents(out) == undisturbed
    if kept:
        # Workers that outlive their parent may have finished one more by then.
        found = re.search(r"(\d+) shards? (?:was|were) finished before", result.stdout)
        assert found is not None
        assert int(found[1]) >= len(kept)
    assert all((out / name).stat().st_ino == inode for name, inode in kept.items())


# One command, which is stopped several times on its way: each time it has to keep what it has.


def test_a_killed_group_goes_on(
    work: Path, tmp_path: Path, undisturbed: dict[str, bytes], begin: Begin
) -> None:
    out = tmp_path / "out"
    kept: dict[str, int] = {}
    for moment in ("plan", "half-written", "2", "4"):
        process, _ = begin(moment)
        kill_group(process)
        assert kept.items() <= finished(out).items()
        kept = finished(out)
    assert len(kept) == 6
    assert_goes_on(work, out, undisturbed)


def test_workers_do_not_survive_their_parent(
    work: Path, tmp_path: Path, undisturbed: dict[str, bytes], begin: Begin
) -> None:
    out = tmp_path / "out"
    for moment in ("half-written", "4"):
        process, workers = begin(moment)
        assert len(workers) == 2
        workers += servers_of(process)
        process.kill()
        process.wait()
        wait_until(lambda pids=workers: not any(map(is_running, pids)))  # type: ignore[misc]
    # The next run begins at once: they may still be there, in the middle of publishing.
    process, _ = begin("2")
    process.kill()
    (tmp_path / "released").touch()
    assert_goes_on(work, out, undisturbed)


def test_a_killed_worker_ends_the_run_with_a_word(
    work: Path, tmp_path: Path, undisturbed: dict[str, bytes], begin: Begin
) -> None:
    process, workers = begin("2")
    os.kill(workers[0], signal.SIGKILL)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "shardio-convert: a worker process died" in errors
    assert "train-000" in errors
    assert "Traceback" not in errors
    assert not any(map(is_running, workers))
    assert len(finished(tmp_path / "out")) >= 2
    assert_goes_on(work, tmp_path / "out", undisturbed)


def test_an_interrupt_stops_cleanly(
    work: Path, tmp_path: Path, undisturbed: dict[str, bytes], begin: Begin
) -> None:
    """A terminal sends Ctrl-C to the whole group, `kill -INT` to the parent alone."""
    out = tmp_path / "out"
    moments = (("plan", True), ("importing", True), ("4", True), ("4", False))
    for moment, group in moments:
        process, workers = begin(moment)
        (os.killpg if group else os.kill)(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 130
        assert "shardio-convert: stopped" in errors
        assert "Traceback" not in errors
        assert not any(map(is_running, workers))
        assert not list(out.rglob("*.tmp"))
    assert len(finished(out)) == 8
    # A termination, too, leaves what can go on.
    process, workers = begin("half-written")
    process.terminate()
    process.communicate(timeout=300)
    assert process.returncode != 0
    wait_until(lambda: not any(map(is_running, workers)))
    assert_goes_on(work, out, undisturbed)


def test_a_second_conversion_into_one_folder_is_refused(
    work: Path, tmp_path: Path, undisturbed: dict[str, bytes], begin: Begin
) -> None:
    out, (started, _) = tmp_path / "out", begin("2")
    for extra in ([], ["--overwrite"]):
        result = run(work, out, *OPTIONS, *extra)
        assert result.returncode == 1
        assert "another conversion is writing to" in result.stderr
    (tmp_path / "released").touch()
    started.communicate(timeout=300)
    assert started.returncode == 0
    assert contents(out) == undisturbed


# What is in the folder when a run begins. These run in this process.


def again(
    table: Path, out: Path, options: ConvertOptions | None = None, overwrite: bool = False
) -> int:
    """Convert inline; returns the number of shards that were made."""
    options = options or ConvertOptions(transform=BOXED, shards=5)
    return convert(str(table), str(out), options, engine="inline", overwrite=overwrite).shards_made


@pytest.fixture
def unfinished(table: Path, tmp_path: Path) -> Path:
    """A folder in which all shards but one are finished."""
    out = tmp_path / "out"

    class Stop(Exception):
        pass

    from converter.engines.protocol import NoProgress

    class StopLate(NoProgress):
        def advance(self, images: int, bytes_read: int, rejected: int, bytes_written: int) -> None:
            if shards_in(out) == 4:
                raise Stop

    with pytest.raises(Stop):
        convert(
            str(table),
            str(out),
            ConvertOptions(transform=BOXED, shards=5),
            engine="inline",
            progress=StopLate(),
        )
    assert shards_in(out) == 4
    return out


@pytest.fixture(scope="module")
def whole(table: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("whole")
    again(table, out)
    return contents(out)


def test_only_what_is_missing_is_made(
    table: Path, unfinished: Path, whole: dict[str, bytes]
) -> None:
    assert again(table, unfinished) == 1
    assert contents(unfinished) == whole


def test_any_engine_goes_on(table: Path, unfinished: Path, whole: dict[str, bytes]) -> None:
    summary = convert(
        str(table), str(unfinished), ConvertOptions(transform=BOXED, shards=5), workers=2
    )
    assert (summary.shards_made, summary.shards_kept) == (1, 4)
    assert contents(unfinished) == whole


DAMAGE: dict[str, Callable[[Path, Path], object]] = {
    "no done-record": lambda shard, record: record.unlink(),
    "an empty done-record": lambda shard, record: record.write_bytes(b""),
    "a cut done-record": lambda shard, record: record.write_bytes(record.read_bytes()[:50]),
    "a done-record of nonsense": lambda shard, record: record.write_bytes(b'{"file": 1}'),
    "a done-record of binary": lambda shard, record: record.write_bytes(b"\xff\xfe\0"),
    "no shard": lambda shard, record: shard.unlink(),
    "a shorter shard": lambda shard, record: os.truncate(shard, 100),
    "a longer shard": lambda shard, record: os.truncate(shard, 10**7),
    "an empty shard": lambda shard, record: os.truncate(shard, 0),
    "the done-record of another": lambda shard, record: shutil.copy(
        record.with_name(str(ShardName("train", 2, 5)) + ".json"), record
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_shard_is_made_again(
    table: Path, unfinished: Path, whole: dict[str, bytes], damage: str
) -> None:
    name = ShardName("train", 1, 5)
    DAMAGE[damage](unfinished / str(name), unfinished / name.done_path)
    assert again(table, unfinished) == 2
    assert contents(unfinished) == whole


def test_half_written_files_are_removed(
    table: Path, unfinished: Path, whole: dict[str, bytes]
) -> None:
    name = str(ShardName("train", 1, 5))
    for folder, file in (
        ("", f".{name}.0123456789ab.tmp"),
        ("", ".dataset.json.0123456789ab.tmp"),
        ("", ".rejects.csv.0123456789ab.tmp"),
        ("", ".records.parquet.0123456789ab.tmp"),
        ("", ".times.json.0123456789ab.tmp"),
        (".shardio", ".metadata.json.0123456789ab.tmp"),
        (".shardio", ".plan.json.0123456789ab.tmp"),
        (".shardio/done", f".{name}.json.0123456789ab.tmp"),
    ):
        (unfinished / folder / file).write_bytes(b"half")
    foreign = ".notes.txt.0123456789ab.tmp"
    (unfinished / foreign).write_bytes(b"mine")
    again(table, unfinished)
    assert contents(unfinished) == {**whole, foreign: b"mine"}


CHANGES = {
    "transform.crop": ConvertOptions(transform=replace(BOXED, crop=(0, 0, 100, 30)), shards=5),
    "transform.size": ConvertOptions(transform=replace(BOXED, size=(64, 32)), shards=5),
    "transform.resample": ConvertOptions(transform=replace(BOXED, resample="box"), shards=5),
    "transform.pad": ConvertOptions(transform=replace(BOXED, pad=True), shards=5),
    "labels": ConvertOptions(transform=BOXED, shards=5, labels=("y1",)),
    "classes": ConvertOptions(transform=BOXED, shards=5, classes=7000),
    "seed": ConvertOptions(transform=BOXED, shards=5, seed=77),
    "shards": ConvertOptions(transform=BOXED, shards=6),
}


@pytest.mark.parametrize("what", CHANGES)
def test_another_plan_is_refused_naming_the_difference(
    table: Path, unfinished: Path, what: str
) -> None:
    before = contents(unfinished)
    with pytest.raises(OutputError, match="unfinished conversion with another plan") as caught:
        again(table, unfinished, CHANGES[what])
    assert what in str(caught.value)
    assert contents(unfinished) == before


def test_another_table_is_refused(table: Path, unfinished: Path, tmp_path: Path) -> None:
    other = write_input(tmp_path / "other", 60, classes=99)
    before = contents(unfinished)
    with pytest.raises(OutputError, match="table_sha256"):
        again(other, unfinished)
    assert contents(unfinished) == before


def test_a_damaged_plan_is_refused(table: Path, unfinished: Path) -> None:
    (unfinished / ".shardio" / "plan.json").write_bytes(b"{")
    with pytest.raises(ManifestError, match=r"plan\.json"):
        again(table, unfinished)
    assert again(table, unfinished, overwrite=True) == 5


def test_overwrite_starts_anew_with_another_plan(
    table: Path, unfinished: Path, tmp_path: Path
) -> None:
    other = ConvertOptions(transform=BOXED, shards=5, seed=9)
    assert again(table, unfinished, other, overwrite=True) == 5
    again(table, tmp_path / "clean", other)
    assert contents(unfinished) == contents(tmp_path / "clean")


@pytest.fixture
def complete(table: Path, tmp_path: Path) -> Path:
    again(table, tmp_path / "out")
    return tmp_path / "out"


def identities(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        path.name: (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in (folder, *folder.rglob("*"))
    }


def test_a_complete_folder_is_left_alone(table: Path, complete: Path) -> None:
    before = identities(complete)
    summary = convert(
        str(table), str(complete), ConvertOptions(transform=BOXED, shards=5), engine="inline"
    )
    assert summary.complete_before
    assert summary.records == 60
    assert identities(complete) == before


def test_another_dataset_is_refused_and_left_alone(table: Path, complete: Path) -> None:
    before = identities(complete)
    with pytest.raises(OutputError, match="complete dataset of another"):
        again(table, complete, ConvertOptions(transform=BOXED, shards=5, seed=1))
    assert identities(complete) == before


def test_overwrite_leaves_foreign_files_alone(
    table: Path, complete: Path, whole: dict[str, bytes]
) -> None:
    foreign = {
        "notes.txt": b"mine",
        "train-1-of-2.tfrecord": b"not our name",
        "train-00000-of-00005.tfrecord.gz": b"nor this",
        "labels.csv": b"path",
        ".hidden.tmp": b"x",
        "sub/train-00000-of-00005.tfrecord": b"in a folder of its own",
    }
    (complete / "sub").mkdir()
    for name, data in foreign.items():
        (complete / name).write_bytes(data)
    (complete / "train-00009-of-00017.tfrecord").write_bytes(b"of an older run")
    assert again(table, complete, overwrite=True) == 5
    assert contents(complete) == {**whole, **foreign}


@pytest.mark.parametrize("change", ["gone", "cut", "grown"])
def test_a_dataset_that_lost_a_shard_is_not_called_complete(
    table: Path, complete: Path, whole: dict[str, bytes], change: str
) -> None:
    shard = complete / str(ShardName("train", 3, 5))
    if change == "gone":
        shard.unlink()
    else:
        os.truncate(shard, shard.stat().st_size + (100 if change == "grown" else -1))
    with pytest.raises(OutputError, match=f"1 of its shards is missing.*{shard.name}"):
        again(table, complete)
    assert again(table, complete, overwrite=True) == 5
    assert contents(complete) == whole


def test_what_a_run_killed_at_its_very_end_left_is_removed(
    table: Path, complete: Path, whole: dict[str, bytes]
) -> None:
    done = complete / ".shardio" / "done"
    done.mkdir(parents=True)
    (done / "train-00000-of-00005.tfrecord.json").write_bytes(b"{}")
    (complete / ".shardio" / "plan.json").write_bytes(b"{}")
    before = identities(complete)["dataset.json"]
    assert again(table, complete) == 0
    assert contents(complete) == whole
    assert not (complete / ".shardio").exists()
    assert identities(complete)["dataset.json"] == before


def test_foreign_shards_are_refused_and_no_trace_stays(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for index in range(7):
        (out / f"val-{index:05d}-of-00007.tfrecord").write_bytes(b"of someone else")
    before = identities(out)
    with pytest.raises(OutputError, match=r"holds 7 shards .*val-00000-of-00007.*, \.\.\."):
        again(table, out)
    assert {name for name, _ in identities(out).items()} == set(before)


def test_a_damaged_manifest_is_refused_and_may_be_overwritten(
    table: Path, complete: Path, whole: dict[str, bytes]
) -> None:
    (complete / "dataset.json").write_bytes(b'{"format": "shardio"')
    with pytest.raises(ManifestError, match=r"dataset\.json"):
        again(table, complete)
    again(table, complete, overwrite=True)
    assert contents(complete) == whole


def test_one_lock_at_a_time(tmp_path: Path) -> None:
    first, second = OutputFolder(str(tmp_path)), OutputFolder(str(tmp_path))
    with first.locked():
        with pytest.raises(OutputError, match="another conversion"), second.locked():
            pass
        assert (tmp_path / ".shardio" / "lock").exists()
    with second.locked():
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_lock_file_that_comes_and_goes_still_locks(tmp_path: Path) -> None:
    """Who holds the lock removes its file at the end; nobody may lock the file that is gone."""
    holders: list[int] = []
    seen: list[int] = []
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            while len(seen) < 400:
                with suppress(OutputError), OutputFolder(str(tmp_path)).locked():
                    holders.append(number)
                    seen.append(len(holders))
                    holders.remove(number)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert set(seen) == {1}


def test_a_lock_file_that_is_removed_while_it_is_taken_locks_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = tmp_path / ".shardio" / "lock"
    flock = fcntl.flock
    calls = []

    def holder_ends_first(descriptor: int, how: int) -> None:
        calls.append(how)
        if len(calls) == 1:
            shutil.rmtree(lock.parent)
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", holder_ends_first)
    with OutputFolder(str(tmp_path)).locked():
        assert lock.exists()
        with pytest.raises(OutputError), OutputFolder(str(tmp_path)).locked():
            pass


# A full disk.


@pytest.mark.parametrize("engine", ["inline", "processes"])
def test_a_full_disk_stops_the_run_which_goes_on_when_there_is_space(
    table: Path, small_disk: Path, whole: dict[str, bytes], engine: str
) -> None:
    out = small_disk / "out"
    (small_disk / "ballast").write_bytes(bytes(600_000))
    result = run(table, out, *BOXED_OPTIONS, "--shards", 5, "--engine", engine)
    assert result.returncode == 1
    (line,) = (text for text in result.stderr.splitlines() if text.startswith("shardio-convert:"))
    assert "No space left on device" in line
    assert "train-000" in line
    assert "Traceback" not in result.stderr
    assert not (out / "dataset.json").exists()
    assert not list(out.rglob("*.tmp"))
    (small_disk / "ballast").unlink()
    for path in out.glob("*.tfrecord"):  # whatever has its final name is whole
        assert path.read_bytes() == whole[path.name]
    again(table, out)
    assert contents(out) == whole


def test_plan_is_the_first_file_and_readable(table: Path, unfinished: Path) -> None:
    plan = json.loads((unfinished / ".shardio" / "plan.json").read_bytes())
    assert plan["seed"] == 0
    assert plan["transform"]["crop"] == [186, 0, 300, 30]
