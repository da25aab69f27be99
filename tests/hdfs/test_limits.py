"""What HDFS does not allow fails at once, by name; processes of all kinds read and write."""

from __future__ import annotations

import multiprocessing
import os
import time
from pathlib import Path
from uuid import uuid4

import pytest

from converter import ConvertOptions, convert
from examples.hdfs.cluster import Cluster
from reader import open_shards
from shardio.errors import StorageError, UnavailableError, UnusableFileError
from shardio.format.transform import Transform
from shardio.storage.hdfs_errors import translate
from tests.converter.inputs import run, write_csv, write_images
from tests.hdfs.local_set import LocalSet, digests, read, stream_digest
from tests.hdfs.place import HdfsPlace
from tests.reader import processes


def assert_goes_on(place: HdfsPlace, local: LocalSet) -> None:
    """What has its final name is whole, nothing else looks so, and the next run finishes."""
    left, whole = digests(place), local.digests
    assert "dataset.json" not in left
    assert all(found == whole[name] for name, found in left.items() if name.startswith("train-"))
    local.convert(place.folder)
    assert digests(place) == whole


@pytest.mark.parametrize(
    ("kind", "is_passing"),
    [("NotReplicatedYetException", True), ("DSQuotaExceededException", False)],
)
def test_what_busy_datanodes_refuse_may_come_back(kind: str, is_passing: bool) -> None:
    said = RuntimeError(f'RPCError("org.apache.hadoop.hdfs.{kind}", "why\\n\\tat a.b(C.java:1)")')
    error = translate(said, "hdfs://host/file")
    assert isinstance(error, UnavailableError) == is_passing
    assert str(error).startswith("hdfs://host/file: why")
    assert "java" not in str(error)


# Of 9 blocks of a megabyte, once; of the files that a run leaves when it fails on its way.
@pytest.mark.parametrize(("kind", "limit"), [("storagespacequota", 6 << 20), ("namespacequota", 8)])
def test_a_quota_stops_a_conversion_which_goes_on_with_a_higher_one(
    place: HdfsPlace, small: LocalSet, kind: str, limit: int
) -> None:
    place.change("MKDIRS")
    place.change("SETQUOTA", **{kind: limit})
    with pytest.raises(StorageError) as caught:
        small.convert(place.folder)
    assert not isinstance(caught.value, UnavailableError)
    assert str(caught.value).startswith(f"{place.folder}/")
    assert "is exceeded: quota" in str(caught.value)
    assert "have the quota raised" in str(caught.value)
    place.change("SETQUOTA", **{kind: -1})  # none
    assert_goes_on(place, small)


@pytest.fixture(scope="module")
def private(hdfs: Cluster, small: LocalSet) -> HdfsPlace:
    """A set that only its owner may read."""
    place = HdfsPlace(hdfs, f"/{uuid4().hex}")
    place.write_folder(small.folder)
    place.change("SETPERMISSION", permission="700")
    return place


def test_who_may_not_read_or_write_is_told_so(
    private: HdfsPlace, small: LocalSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = digests(private)
    monkeypatch.setenv("HADOOP_USER_NAME", "mallory")
    for action in (
        lambda: open_shards(private.folder),
        lambda: open_shards(f"{private.folder}/train-00000-of-00003.tfrecord"),
        lambda: small.convert(f"{private.folder}/sub"),
        lambda: small.convert(private.folder, overwrite=True),
    ):
        with pytest.raises(
            UnusableFileError, match=rf"^{private.folder}.*Permission denied: user="
        ):
            action()
    monkeypatch.delenv("HADOOP_USER_NAME")
    assert digests(private) == before
    # The client of the other user is not used for this one.
    assert stream_digest(read(private.folder)) == stream_digest(read(small.folder))


def test_the_command_line_says_in_one_line_what_is_not_allowed(
    private: HdfsPlace, small: LocalSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HADOOP_USER_NAME", "mallory")
    done = run(small.table, f"{private.folder}/sub", "--shards", 1)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"shardio-convert: {private.folder}/sub")
    assert "Permission denied: user=mallory" in line


def test_an_image_that_may_not_be_read_is_a_reject(
    private: HdfsPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (free,) = write_images(tmp_path / "images", 1, (20, 16))
    rows = [[f"{private.folder}/dataset.json", 1], [f"images/{free}", 2]]
    table = write_csv(tmp_path / "t.csv", ["path", "y0"], rows)
    monkeypatch.setenv("HADOOP_USER_NAME", "mallory")
    out = str(tmp_path / "out")
    options = ConvertOptions(transform=Transform(size=(8, 8)))
    assert convert(str(table), out, options, max_rejects="1").rejected == 1
    assert "Permission denied: user=mallory" in (tmp_path / "out" / "rejects.csv").read_text()


def _digest_of(folder: str) -> str:
    return stream_digest(read(folder, shuffle="exact"))


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_processes_of_all_kinds_read(stored: HdfsPlace, small: LocalSet, method: str) -> None:
    wanted = _digest_of(str(small.folder))
    assert _digest_of(stored.folder) == wanted  # now this process has connections and threads
    with multiprocessing.get_context(method).Pool(2) as pool:
        found = pool.map_async(_digest_of, [stored.folder] * 2)
        assert _digest_of(stored.folder) == wanted
        assert found.get(300) == [wanted] * 2


def test_an_opened_set_goes_to_another_process(stored: HdfsPlace, small: LocalSet) -> None:
    shards = open_shards(stored.folder)
    x, labels = shards[7]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        again, same = pool.apply_async(shards.__getitem__, [7]).get(300)
    assert (again == x).all()
    assert same == labels
    assert (open_shards(str(small.folder), split="train")[7][0] == x).all()


_TORCH = """
import json, sys
from torch.utils.data import DataLoader
from reader import open_shards

shards = open_shards(sys.argv[1])
seen = []
for method in ("fork", "spawn"):
    batches = shards.to_torch(16, rows=True, shuffle="exact", drop_remainder=False)
    loader = DataLoader(
        batches, batch_size=None, num_workers=2, multiprocessing_context=method
    )
    next(iter(batches))
    seen.append(sorted(row for _, _, rows in loader for row in rows.tolist()))
print(json.dumps(seen))
"""


@pytest.mark.slow
def test_workers_of_torch_read(stored: HdfsPlace, small: LocalSet) -> None:
    pytest.importorskip("torch")
    wanted = sorted(row for _, _, rows in read(small.folder, drop_remainder=False) for row in rows)
    assert processes.run(_TORCH, stored.folder) == [wanted] * 2


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_writes(place: HdfsPlace, small: LocalSet) -> None:
    small.convert(f"{place.folder}/before")
    child = os.fork()
    if child == 0:
        try:
            small.convert(f"{place.folder}/child")
            os._exit(0)
        except BaseException:
            os._exit(1)
    small.convert(f"{place.folder}/parent")
    end = time.monotonic() + 240
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0):
        assert time.monotonic() < end, "the child hangs"
        time.sleep(0.05)
    assert ended == (child, 0)
    found = digests(place)
    for folder in ("before", "parent", "child"):
        assert {name: found[f"{folder}/{name}"] for name in small.digests} == small.digests
