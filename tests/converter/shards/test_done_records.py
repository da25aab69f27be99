"""Done-records are read from servers sixteen at once; one that cannot be read ends it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import fsspec
import pytest

from converter.shards.done_records import done_records
from shardio.errors import UnusableFileError
from shardio.format.done import DoneRecord
from shardio.format.naming import ShardName
from shardio.storage import storage_for
from tests.hdfs.place import HdfsPlace
from tests.s3.place import BUCKET, S3Place

AT_ONCE = 16
SHARDS = [ShardName("train", index, 3 * AT_ONCE) for index in range(3 * AT_ONCE)]
RECORDS = {
    shard: DoneRecord(str(shard), shard.index, 100, "0" * 64, None, None, ()) for shard in SHARDS
}


@pytest.fixture(params=["local", "memory", "hdfs", pytest.param("s3", marks=pytest.mark.s3)])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A folder with all done-records, but for the third; the second is damaged."""
    name = uuid4().hex
    if request.param == "hdfs":
        place: Any = HdfsPlace(request.getfixturevalue("hdfs"), f"/{name}")
        folder, write = place.folder, place.write
    elif request.param == "s3":
        request.getfixturevalue("s3")
        place = S3Place(f"s3://{BUCKET}/{name}")
        folder, write = place.folder, place.write
    else:
        folder = str(tmp_path) if request.param == "local" else f"memory://{name}"
        write = writer(folder)
    for shard, done in RECORDS.items():
        if shard.index != 2:
            write(shard.done_path, b"{" if shard.index == 1 else done.to_json())
    return str(folder)


def writer(folder: str) -> Callable[[str, bytes], None]:
    def write(name: str, data: bytes) -> None:
        with fsspec.open(f"{folder}/{name}", "wb", auto_mkdir=True) as file:
            file.write(data)

    return write


def test_as_many_are_read_at_once_as_there_are_threads(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = AT_ONCE if "://" in folder else 1
    storage = type(storage_for(folder))
    opened = storage.open_stream
    # Lets nobody on before so many wait.
    barrier = threading.Barrier(at_once)
    lock, under_way, most = threading.Lock(), 0, 0

    def open_stream(self: Any, path: str) -> Any:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        barrier.wait(60)
        try:
            return opened(self, path)
        finally:
            with lock:
                under_way -= 1

    monkeypatch.setattr(storage, "open_stream", open_stream)
    whole = {shard: done for shard, done in RECORDS.items() if shard.index not in (1, 2)}
    assert done_records(folder, SHARDS) == whole
    assert most == at_once


def test_what_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    for shard in SHARDS[:5]:
        (tmp_path / shard.done_path).mkdir(parents=True)
    with pytest.raises(
        UnusableFileError, match=r"00000-of-00048.tfrecord.json: not a regular file$"
    ):
        done_records(str(tmp_path), SHARDS)
