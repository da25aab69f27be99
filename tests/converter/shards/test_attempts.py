"""Attempts at one shard that run at the same time, on machines of a cluster."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from converter.shards.attempts import RunEndedError, publish_done
from shardio.errors import WorkerError
from shardio.format.done import DoneRecord, Reject
from shardio.format.naming import PLAN

FILE = "train-00000-of-00001.tfrecord"
DONE = DoneRecord(FILE, 3, 30, "a" * 64, 1, 2, (Reject(4, "x.png", "no such file"),))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / ".shardio").mkdir()
    (tmp_path / PLAN).write_bytes(b"{}")
    return tmp_path


def record(out: Path) -> bytes:
    return (out / ".shardio" / "done" / f"{FILE}.json").read_bytes()


def test_the_first_record_stays_and_the_same_bytes_pass(out: Path) -> None:
    publish_done(str(out), DONE, "a", contested=True)
    # Machines may say in other words why an image is rejected.
    other = replace(DONE, rejects=(Reject(4, "x.png", "no such file; there is x.jpg"),))
    publish_done(str(out), other, "b", contested=True)
    assert record(out) == DONE.to_json()
    assert [path.name for path in (out / ".shardio" / "done").iterdir()] == [f"{FILE}.json"]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (replace(DONE, records=4, sha256="b" * 64, rejects=()), r"^row 4, x\.png, could be used"),
        (replace(DONE, sha256="b" * 64), "^two attempts at it have read different images"),
    ],
)
def test_an_attempt_with_other_bytes_gives_up(out: Path, other: DoneRecord, message: str) -> None:
    publish_done(str(out), DONE, "a", contested=True)
    with pytest.raises(WorkerError, match=message):
        publish_done(str(out), other, "b", contested=True)
    assert record(out) == DONE.to_json()


def test_an_attempt_publishes_nothing_once_its_run_has_ended(out: Path) -> None:
    (out / PLAN).unlink()
    with pytest.raises(RunEndedError):
        publish_done(str(out), DONE, "a", contested=True)
    assert not (out / ".shardio" / "done").exists()


def test_on_one_machine_the_last_attempt_counts(out: Path) -> None:
    publish_done(str(out), DONE, "a")
    publish_done(str(out), replace(DONE, records=4), "b")
    assert record(out) == replace(DONE, records=4).to_json()
