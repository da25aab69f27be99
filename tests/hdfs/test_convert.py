"""Conversions to HDFS and from it give the files that they give on local disk."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import crc32c
import pytest
from pyarrow import csv, parquet

from converter import ConvertOptions, convert
from examples.hdfs.cluster import Cluster
from shardio.errors import OutputError, RejectsError
from shardio.format.manifest import Manifest
from shardio.format.naming import TIMES
from shardio.format.transform import Transform
from tests.converter.held_run import HeldRun
from tests.converter.inputs import contents, kill_group, run, wait_until, write_csv
from tests.hdfs.local_set import LocalSet, digests
from tests.hdfs.place import HdfsPlace

FSCK = "org.apache.hadoop.hdfs.tools.DFSck"


def options(found: LocalSet) -> list[object]:
    height, width, _ = found.options.transform.shape
    return ["--crop", "none", "--size", f"{width}x{height}", "--shards", found.options.shards]


@pytest.fixture(scope="module")
def made(hdfs: Cluster, small: LocalSet) -> HdfsPlace:
    """The small set as the command line converts it: table, images and output on HDFS."""
    place = HdfsPlace(hdfs, f"/{uuid4().hex}/shards")
    source = HdfsPlace(hdfs, place.path.replace("shards", "input"))
    source.write("labels.csv", small.table.read_bytes())
    for image in (small.table.parent / "images").iterdir():
        source.write(f"images/{image.name}", image.read_bytes())
    done = run(f"{source.folder}/labels.csv", place.folder, "--workers", 2, *options(small))
    assert done.returncode == 0, done.stderr
    assert "119 written + 1 rejected (see rejects.csv)" in done.stdout
    return place


def test_the_files_are_those_of_a_local_conversion(made: HdfsPlace, small: LocalSet) -> None:
    assert digests(made) == small.digests
    assert {"dataset.json", "rejects.csv"} < set(small.digests)


def test_hadoop_finds_the_same_bytes_in_many_whole_blocks(
    hdfs: Cluster, made: HdfsPlace, small: LocalSet
) -> None:
    files = {**contents(small.folder), TIMES: made.read(TIMES)}
    assert {name: made.status(name)["length"] for name in made.names()} == {
        name: len(data) for name, data in files.items()
    }
    # The CRC of the whole file, put together from those that the DataNodes keep of its blocks.
    whole = "-Ddfs.checksum.combine.mode=COMPOSITE_CRC"
    paths = [f"{made.path}/{name}" for name in files]
    lines = [line.split() for line in hdfs.fs(whole, "-checksum", *paths).splitlines()]
    found = {name.rpartition("/")[2]: crc[-8:] for name, kind, crc in lines if "CRC32C" in kind}
    assert found == {name: f"{crc32c.crc32c(data):08x}" for name, data in files.items()}
    web = f"-Ddfs.namenode.http-address={hdfs.web_address()}"
    report = hdfs.tool(FSCK, web, made.path, "-files", "-blocks", "-openforwrite")
    assert "is HEALTHY" in report
    assert "OPENFORWRITE" not in report
    blocks = sum(-(-len(data) // (1 << 20)) for data in files.values())
    assert blocks > 9
    assert re.search(rf"Total blocks \(validated\):\s*{blocks} ", report)


@pytest.mark.parametrize("ending", ["parquet", "jsonl"])
def test_tables_of_all_kinds_are_read_from_hdfs(
    place: HdfsPlace, small: LocalSet, tmp_path: Path, ending: str
) -> None:
    table = csv.read_csv(small.table)
    if ending == "parquet":
        parquet.write_table(table, tmp_path / "t.parquet", row_group_size=7)
    else:
        frame = "\n".join(str(row).replace("'", '"') for row in table.to_pylist())
        (tmp_path / "t.jsonl").write_text(frame)
    place.write(f"t.{ending}", (tmp_path / f"t.{ending}").read_bytes())
    convert(
        f"{place.folder}/t.{ending}",
        str(tmp_path / "out"),
        small.options,
        root=str(small.table.parent),
        engine="inline",
    )
    again = {path.name: path.read_bytes() for path in (tmp_path / "out").glob("*.tfrecord")}
    assert again == {path.name: path.read_bytes() for path in small.folder.glob("*.tfrecord")}


def test_what_is_complete_is_kept_what_is_another_refused_and_both_may_be_overwritten(
    place: HdfsPlace, small: LocalSet
) -> None:
    place.write_folder(small.folder)
    place.write("notes.txt", b"mine")
    before = {name: place.status(name) for name in place.names()}
    assert small.convert(place.folder).complete_before
    other = ConvertOptions(transform=small.options.transform, shards=2)
    with pytest.raises(OutputError, match=r"^hdfs://.* complete dataset of another table"):
        convert(str(small.table), place.folder, other, engine="inline")
    assert {name: place.status(name) for name in place.names()} == before
    convert(str(small.table), place.folder, other, engine="inline", overwrite=True)
    assert [name for name in place.names() if name.endswith("tfrecord")] == [
        f"train-0000{index}-of-00002.tfrecord" for index in range(2)
    ]
    assert place.read("notes.txt") == b"mine"
    assert Manifest.from_json(place.read("dataset.json"), "it").rows_written == 119


def test_too_many_rejects_leave_a_list_and_no_dataset(
    place: HdfsPlace, small: LocalSet, tmp_path: Path
) -> None:
    table = write_csv(tmp_path / "t.csv", ["path", "y0"], [[f"{place.folder}/no.png", 1]] * 3)
    options = ConvertOptions(shards=1, transform=Transform(size=(8, 8)))
    with pytest.raises(RejectsError, match=r"(?s)3 x no such file .* hdfs://.*/rejects\.csv"):
        convert(str(table), place.folder, options, engine="inline")
    assert place.read("rejects.csv").count(b"no such file") == 3
    assert "dataset.json" not in place.names()


@pytest.fixture
def moment() -> str:
    return "a shard"


@pytest.fixture
def started(
    place: HdfsPlace, large: LocalSet, tmp_path: Path, moment: str
) -> Iterator[subprocess.Popen[str]]:
    """A conversion that waits before one of its images, of 40 of a shard."""
    held = HeldRun(tmp_path, {"plan": 0, "half-written": 20, "a shard": 60}[moment])
    process = held.start(large.table, place.folder, "--workers", 1, *options(large))
    yield process
    kill_group(process)


def wait_for(place: HdfsPlace, process: subprocess.Popen[str], moment: str) -> None:
    """Wait until the files show that a moment of the run has come."""
    pattern, count = {
        "plan": (r"\.shardio/plan\.json", 1),
        "half-written": (r"\.train-.*\.tmp", 1),
        "a shard": ("train-", 1),
    }[moment]
    wait_until(lambda: sum(bool(re.match(pattern, name)) for name in place.names()) >= count)
    assert process.poll() is None, "it has failed"


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param("plan", marks=pytest.mark.slow),
        pytest.param("half-written", marks=pytest.mark.slow),
        "a shard",
    ],
)
def test_a_killed_conversion_goes_on(
    place: HdfsPlace, large: LocalSet, started: subprocess.Popen[str], moment: str
) -> None:
    wait_for(place, started, moment)
    kill_group(started)
    assert "dataset.json" not in place.names()
    kept = {name: place.status(name) for name in place.names() if name.startswith("train-")}
    whole = large.digests
    summary = large.convert(place.folder)
    assert summary.shards_kept >= len(kept)
    assert digests(place) == whole
    assert {name: place.status(name) for name in kept} == kept


@pytest.mark.slow
def test_ctrl_c_leaves_whole_shards_and_no_temporary_file(
    place: HdfsPlace, large: LocalSet, started: subprocess.Popen[str]
) -> None:
    wait_for(place, started, "a shard")
    os.killpg(started.pid, signal.SIGINT)
    _, words = started.communicate(timeout=300)
    assert started.returncode == 130, words
    assert "give the same command again" in words
    assert "Traceback" not in words
    left = digests(place)
    assert not [name for name in left if name.endswith(".tmp")]
    whole = large.digests
    assert all(found == whole[name] for name, found in left.items() if name.startswith("train-"))
    large.convert(place.folder)
    assert digests(place) == whole


@pytest.mark.slow
def test_two_conversions_to_one_folder_end_with_the_same_files(
    place: HdfsPlace, large: LocalSet
) -> None:
    """HDFS has no lock that would keep the second one out; one of them may fail, clearly."""
    problems = large.convert_twice_at_once(place.folder)
    assert all(place.folder in str(problem) for problem in problems)
    large.convert(place.folder)
    assert digests(place) == large.digests
