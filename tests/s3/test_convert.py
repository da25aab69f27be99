"""Conversions to S3 and from it give the files that they give on local disk."""

from __future__ import annotations

import signal
from pathlib import Path
from uuid import uuid4

import pytest

from converter import ConvertOptions, convert
from shardio.errors import OutputError
from tests.converter.held_run import HeldRun
from tests.converter.inputs import kill_group, run, wait_until
from tests.hdfs.local_set import LocalSet, digests, make_set
from tests.s3.place import BUCKET, S3Place
from tests.s3.server import S3Server

pytestmark = pytest.mark.s3


def options(found: LocalSet) -> list[object]:
    height, width, _ = found.options.transform.shape
    return ["--crop", "none", "--size", f"{width}x{height}", "--shards", found.options.shards]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> LocalSet:
    """75 MB in two shards, of three parts each."""
    return make_set(tmp_path_factory.mktemp("large"), 380, 2, 256)


def test_table_images_and_output_on_s3_give_the_files_of_a_local_conversion(
    s3: S3Server, small: LocalSet
) -> None:
    top = f"s3://{BUCKET}/{uuid4().hex}"
    source, place = S3Place(f"{top}/input"), S3Place(f"{top}/shards")
    source.write("labels.csv", small.table.read_bytes())
    source.write_folder(small.table.parent)
    done = run(f"{source.folder}/labels.csv", place.folder, "--workers", 2, *options(small))
    assert done.returncode == 0, done.stderr
    assert "119 written + 1 rejected (see rejects.csv)" in done.stdout
    assert digests(place) == small.digests


def test_what_is_complete_is_kept_what_is_another_refused_and_both_may_be_overwritten(
    place: S3Place, small: LocalSet
) -> None:
    place.write_folder(small.folder)
    place.write("notes.txt", b"mine")
    assert small.convert(place.folder).complete_before
    other = ConvertOptions(transform=small.options.transform, shards=2)
    with pytest.raises(OutputError, match=r"^s3://.* complete dataset of another table"):
        convert(str(small.table), place.folder, other, engine="inline")
    convert(str(small.table), place.folder, other, engine="inline", overwrite=True)
    assert [name for name in place.names() if name.endswith("tfrecord")] == [
        f"train-0000{index}-of-00002.tfrecord" for index in range(2)
    ]
    assert place.read("notes.txt") == b"mine"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_an_upload_that_is_stopped_leaves_nothing_that_looks_whole(
    place: S3Place, large: LocalSet, tmp_path: Path, number: signal.Signals
) -> None:
    held = HeldRun(tmp_path, 100)  # of 190 of a shard
    process = held.start(large.table, place.folder, "--workers", 1, *options(large))
    try:
        wait_until(lambda: bool(place.uploads()))
        assert process.poll() is None, "it has failed"
        if number == signal.SIGKILL:
            kill_group(process)
        else:
            process.send_signal(number)
            assert process.wait(300) == 130
            # Who is asked to stop leaves no parts, which would cost something every month.
            assert not place.uploads()
    finally:
        kill_group(process)
    whole = large.digests
    found = digests(place)
    assert "dataset.json" not in found
    assert all(whole[name] == found[name] for name in found if name.startswith("train-"))
    large.convert(place.folder)
    assert digests(place) == whole


def test_two_conversions_to_one_folder_end_with_the_same_files(
    place: S3Place, small: LocalSet
) -> None:
    """S3 has no lock that would keep the second one out; one of them may fail, clearly."""
    problems = small.convert_twice_at_once(place.folder)
    assert all(place.folder in str(problem) for problem in problems)
    small.convert(place.folder)
    assert digests(place) == small.digests


def test_every_name_is_written_once(place: S3Place, small: LocalSet, s3: S3Server) -> None:
    s3.requests()
    small.convert(place.folder)
    lines = [line for line in s3.requests() if place.folder.rpartition("/")[2] in line]
    written = [line.split()[1].partition("?")[0] for line in lines if line.startswith("PUT")]
    assert len(written) == len(set(written))
    assert not [path for path in written if ".tmp" in path]
    assert {Path(path).name for path in written} >= set(small.digests)
