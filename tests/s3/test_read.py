"""What is read from S3 is what is read from local disk."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from reader import open_shards
from reader.batching.options import Shuffle
from reader.commands.cli import main
from shardio.errors import CorruptRecordError, DatasetError, MissingFileError
from shardio.storage import storage_for
from tests.hdfs.local_set import LocalSet, digest, read, stream_digest
from tests.reader.cached import copies, fill
from tests.reader.mounts import Mount, need_fuse, run
from tests.s3.place import BUCKET, S3Place, s3_files
from tests.s3.server import S3Server

pytestmark = pytest.mark.s3
NAME = "train-00001-of-00003.tfrecord"


@pytest.mark.parametrize("shuffle", ["exact", "window", "none"])
def test_batches_are_those_of_local_disk(stored: S3Place, small: LocalSet, shuffle: str) -> None:
    for options in ({"epochs": 2}, {"memory": "24MB", "drop_remainder": False}):
        local = stream_digest(read(small.folder, shuffle=shuffle, **options))
        assert stream_digest(read(stored.folder, shuffle=shuffle, **options)) == local


def test_records_are_chosen_and_read_in_parts(stored: S3Place, small: LocalSet) -> None:
    found, wanted = (open_shards(str(at)).where(y0=17) for at in (stored.folder, small.folder))
    assert len(found) == len(wanted) > 0
    each = [part.batches(1, rows=True, shuffle="exact") for part in (found, wanted)]
    assert stream_digest(each[0]) == stream_digest(each[1])


@pytest.mark.parametrize("shuffle", ["exact", "window"])
def test_a_cache_is_filled_and_read(
    stored: S3Place, small: LocalSet, tmp_path: Path, shuffle: Shuffle
) -> None:
    wanted = stream_digest(read(small.folder, shuffle=shuffle))
    shards = open_shards(stored.folder, cache=tmp_path)
    first = shards.batches(16, rows=True, dtype="uint8", shuffle=shuffle)
    assert stream_digest(first) == wanted
    fill(shards)
    assert len(copies(tmp_path)) == 3
    again = shards.batches(16, rows=True, dtype="uint8", shuffle=shuffle)
    assert stream_digest(again) == wanted


def test_it_is_staged(stored: S3Place, small: LocalSet, tmp_path: Path) -> None:
    done = run("stage", stored.folder, tmp_path / "disk")
    assert done.returncode == 0, done.stderr
    found = {path.name: digest(path.read_bytes()) for path in (tmp_path / "disk").iterdir()}
    assert found == small.copied


def test_it_is_mounted(stored: S3Place, small: LocalSet, tmp_path: Path) -> None:
    need_fuse()
    mount = Mount(stored.folder, tmp_path / "point")
    try:
        found = {path.name: digest(path.read_bytes()) for path in mount.point.iterdir()}
        assert found == small.copied
    finally:
        mount.take_away()


def test_the_command_line_reads_it(stored: S3Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", f"{stored.folder}/train-*.tfrecord"]) == 0
    assert "119 in 3 shards" in capsys.readouterr().out
    assert main(["verify", stored.folder]) == 0
    assert "are whole: CRCs and SHA-256 agree" in capsys.readouterr().out


def test_shards_that_are_damaged_gone_or_replaced_are_named(
    place: S3Place, small: LocalSet
) -> None:
    place.write_folder(small.folder)
    url, data = f"{place.folder}/{NAME}", place.read(NAME)
    shards = open_shards(place.folder)
    place.write(NAME, data[:100_000] + b"x" + data[100_001:])
    with pytest.raises(DatasetError, match=f"^{url} was replaced or written to"):
        stream_digest(shards.batches(16, rows=True))
    with pytest.raises(CorruptRecordError, match=f"^{url}"):
        stream_digest(read(place.folder))
    assert main(["verify", place.folder]) == 1
    place.remove(NAME)
    with pytest.raises(MissingFileError, match=url):
        stream_digest(shards.batches(16, rows=True))
    with pytest.raises(DatasetError, match=NAME):
        open_shards(place.folder)


def test_more_names_than_a_request_lists_are_all_found(s3: S3Server, place: S3Place) -> None:
    for number in range(12):
        place.write(f"many/{number:02d}", b"1")
        place.write(f"many/{number:02d}.folder/file", b"1")
    storage = storage_for(place.folder)
    names = [info.path.rpartition("/")[2] for info in storage.list(f"{place.folder}/many")]
    assert names == sorted(f"{n:02d}{end}" for n in range(12) for end in ("", ".folder"))
    assert [name for name, _ in sorted(storage.names(f"{place.folder}/many"))] == names
    storage.delete(f"{place.folder}/many")
    assert place.names() == []


def child(folder: str, queue: multiprocessing.Queue[str]) -> None:
    queue.put(stream_digest(read(folder)))


def test_a_fork_of_a_process_that_reads_reads_too(stored: S3Place, small: LocalSet) -> None:
    batches = read(stored.folder)
    next(batches)
    context = multiprocessing.get_context("fork")
    queue: multiprocessing.Queue[str] = context.Queue()
    process = context.Process(target=child, args=(stored.folder, queue))
    process.start()
    try:
        assert queue.get(timeout=300) == stream_digest(read(small.folder))
    finally:
        process.join(30)
        process.kill()
    assert sum(1 for _ in batches) == len(list(read(small.folder))) - 1


def test_the_bucket_itself_may_be_the_folder(s3: S3Server, small: LocalSet) -> None:
    bucket = f"{BUCKET}-whole"
    s3_files().mkdir(bucket)
    small.convert(f"s3://{bucket}")
    assert stream_digest(read(f"s3://{bucket}")) == stream_digest(read(small.folder))
    assert run("verify", f"s3://{bucket}/").returncode == 0
