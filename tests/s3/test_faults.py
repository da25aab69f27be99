"""Servers that throttle, cut connections or go away: waited for, or an error that says so."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from reader import open_shards
from shardio.errors import MissingFileError, OutputError, UnavailableError, UnknownStorageError
from shardio.storage import remote_call, storage_for
from shardio.storage.s3 import S3Storage
from shardio.storage.s3_files import PART_BYTES, S3Writer
from tests.hdfs.local_set import LocalSet, digests, read, stream_digest
from tests.reader.mounts import ROOT
from tests.s3.gate import Gate
from tests.s3.place import BUCKET, S3Place, s3_files
from tests.s3.server import S3Server, environment

pytestmark = pytest.mark.s3


@pytest.fixture
def gate(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """A door that all processes go through that are started meanwhile."""
    gate = Gate(s3.port)
    yield gate
    gate.close()


def run(gate: Gate, *arguments: object, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a command line that reaches the server through the door, and tries each request once."""
    settings = {**environment(gate.url), "AWS_MAX_ATTEMPTS": "1", **more}
    command = [sys.executable, "-m", *map(str, arguments)]
    return subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, **settings},
    )


@pytest.mark.parametrize("fault", ["throttled", "cut"])
def test_reads_are_repeated(
    gate: Gate, stored: S3Place, small: LocalSet, tmp_path: Path, fault: str
) -> None:
    gate.method = b"GET"
    setattr(gate, fault, 5)
    done = run(gate, "reader", "stage", stored.folder, tmp_path / "disk")
    assert done.returncode == 0, done.stderr
    assert getattr(gate, fault) == 0
    for path in small.folder.iterdir():
        assert (tmp_path / "disk" / path.name).read_bytes() == path.read_bytes()


def test_writes_are_repeated(gate: Gate, place: S3Place, small: LocalSet) -> None:
    gate.method, gate.throttled = b"PUT", 5
    height, width, _ = small.options.transform.shape
    options = ["--size", f"{width}x{height}", "--crop", "none", "--shards", 3, "--workers", 1]
    done = run(gate, "converter", small.table, place.folder, *options)
    assert done.returncode == 0, done.stderr
    assert gate.throttled == 0
    assert digests(place) == small.digests


def test_a_server_that_is_gone_is_waited_for_and_then_an_error_says_so(
    gate: Gate, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", gate.url)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr(remote_call, "RETRY_SECONDS", 7.0)
    gate.closed = True
    storage = storage_for("s3://a-bucket-of-this-test")
    for action in (storage.list, storage.stat, storage.open_ranges):
        with pytest.raises(UnavailableError, match=r"^s3://a-bucket-of-this-test/x: "):
            action("s3://a-bucket-of-this-test/x")
    assert "waiting for up to" in caplog.text


def test_a_server_that_is_frozen_in_the_middle_is_read_on_when_it_answers(
    tmp_path: Path, s3: S3Server, stored: S3Place, small: LocalSet
) -> None:
    batches = read(stored.folder, shuffle="window")
    s3.freeze()
    threading.Timer(7, s3.thaw).start()
    assert stream_digest(batches) == stream_digest(read(small.folder, shuffle="window"))


def test_parts_are_sent_again_and_each_is_once_in_the_object(
    s3: S3Server, place: S3Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each first try of a request fails after the server has done what was asked."""
    path = f"{place.folder}/a"
    data = os.urandom(40_000_000)
    seen: list[str] = []
    once = S3Writer._ask_once

    def lost(self: S3Writer, method: str, size: int = 0, **arguments: object) -> object:
        answer = once(self, method, size, **arguments)
        if method == "upload_part" and len(seen) % 2 == 0:
            seen.append(method)
            raise UnavailableError("the answer is lost")
        seen.append(method)
        return answer

    monkeypatch.setattr(S3Writer, "_ask_once", lost)
    with storage_for(path).publish(path, attempt="1") as file:
        for at in range(0, len(data), 999_999):
            file.write(data[at : at + 999_999])
    assert seen.count("upload_part") > 3
    assert place.read("a") == data
    assert place.uploads() == []


def test_an_upload_that_is_gone_is_an_error_after_which_the_shard_is_made_again(
    s3: S3Server, place: S3Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Amazon's S3 says it; the server here would say that it has failed."""
    path = f"{place.folder}/a"
    once = S3Writer._ask_once

    def gone(self: S3Writer, method: str, size: int = 0, **arguments: object) -> object:
        if method == "complete_multipart_upload":
            raise MissingFileError("NoSuchUpload")
        return once(self, method, size, **arguments)

    monkeypatch.setattr(S3Writer, "_ask_once", gone)

    def write() -> None:
        with storage_for(path).publish(path, attempt="1") as file:
            file.write(bytes(PART_BYTES))

    with pytest.raises(UnavailableError, match=r"/a: the upload is gone; begin it again"):
        write()
    assert place.names() == place.uploads() == []


def test_a_missing_bucket_is_named_at_once(s3: S3Server, small: LocalSet, tmp_path: Path) -> None:
    url = "s3://nowhere-at-all/x"
    with pytest.raises(UnknownStorageError, match="there is no such bucket"):
        small.convert(url)
    with pytest.raises(UnknownStorageError, match="there is no such bucket"):
        open_shards(f"{url}/train-*.tfrecord")
    table = tmp_path / "t.csv"
    table.write_text(f"path,y0\n{url}/a.png,1\n")
    gone = LocalSet(table, small.options, tmp_path)
    with pytest.raises(OSError, match=r"row 0: s3://nowhere-at-all/x/a.png: there is no such"):
        gone.convert(str(tmp_path / "out"))
    assert not s3_files().exists("nowhere-at-all")


def test_what_could_not_be_removed_is_an_error(
    s3: S3Server, place: S3Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.write("a", b"1")
    storage = storage_for(place.folder)
    assert isinstance(storage, S3Storage)
    files = storage._files
    call = files.call_s3

    def refused(method: str, **arguments: object) -> object:
        answer = call(method, **arguments)
        if method == "delete_objects":
            return {"Errors": [{"Key": "a", "Code": "AccessDenied", "Message": "Access Denied"}]}
        return answer

    monkeypatch.setattr(files, "call_s3", refused)
    with pytest.raises(PermissionError, match=r"/a: was not removed: Access Denied"):
        storage.delete(f"{place.folder}/a")


def test_one_of_two_exclusive_writers_is_told(s3: S3Server) -> None:
    path = f"s3://{BUCKET}/{uuid4().hex}"
    first, second = (S3Writer(path, s3_files(), overwrite=False) for _ in range(2))
    first.write(b"one")
    second.write(b"two")
    second.finish()
    # Whatever was looked at before, the condition of the request counts.
    with pytest.raises(OutputError, match=f"^{path}: File exists"):
        first.finish()
    assert s3_files().cat_file(path) == b"two"
