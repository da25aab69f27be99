"""DataNodes that die, freeze or lose blocks: what has another replica survives."""

from __future__ import annotations

import re
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from examples.hdfs.cluster import Cluster
from examples.hdfs.configuration import ClusterOptions
from examples.hdfs.server import QUICK_JAVA
from shardio.errors import StorageError, UnavailableError
from shardio.storage import hdfs_files, storage_for
from tests.hdfs.local_set import LITTLE, LocalSet, digest, digests, read, stream_digest
from tests.hdfs.place import HdfsPlace

pytestmark = pytest.mark.outages

FSCK = "org.apache.hadoop.hdfs.tools.DFSck"
ORDERS = ["exact", "window", "none"]


@pytest.fixture(scope="module")
def three(hadoop_is_there: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three DataNodes, each with every block; the NameNode misses one after 11 seconds."""
    properties = {
        "dfs.heartbeat.interval": "1",
        "dfs.namenode.heartbeat.recheck-interval": "500",
        "dfs.client.socket-timeout": "1500",
        # Or a block may have a single replica at first: one that others seem too busy for.
        "dfs.namenode.redundancy.considerLoad": "false",
        "dfs.client.block.write.locateFollowingBlock.initial.delay.ms": "20",
    }
    options = ClusterOptions(
        datanodes=3, block_size=1 << 20, properties=properties, java=QUICK_JAVA
    )
    with (
        Cluster(tmp_path_factory.mktemp("three"), options) as cluster,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("HADOOP_CONF_DIR", str(cluster.conf))
        yield cluster


@pytest.fixture
def cluster(three: Cluster) -> Iterator[Cluster]:
    """The cluster, of which all servers run before and after a test."""
    yield three
    for server in three.datanodes:
        server.thaw()
        server.start()
    for server in three.datanodes:
        three.wait_until_joined(server)
    three.wait_until_live(3)


@pytest.fixture(scope="module")
def there(three: Cluster, large: LocalSet) -> HdfsPlace:
    """The large set, each block on all three."""
    place = HdfsPlace(three, "/there")
    place.write_folder(large.folder)
    return place


@pytest.fixture
def place(cluster: Cluster) -> HdfsPlace:
    return HdfsPlace(cluster, f"/{uuid4().hex}")


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A read is tried again for 10 seconds, not a minute; where it can never succeed."""
    monkeypatch.setattr(hdfs_files, "_READ_SECONDS", 10.0)


def fault(cluster: Cluster, kind: str, number: int) -> Callable[[], object]:
    server = cluster.datanodes[number]
    return {"killed": server.kill, "frozen": server.freeze}[kind]


@pytest.mark.parametrize("shuffle", ORDERS)
def test_reading_goes_on_without_a_datanode_that_is_killed(
    cluster: Cluster, there: HdfsPlace, large: LocalSet, shuffle: str
) -> None:
    wanted = stream_digest(read(large.folder, shuffle=shuffle, **LITTLE))
    do = fault(cluster, "killed", 0)
    assert stream_digest(read(there.folder, shuffle=shuffle, **LITTLE), 2, do) == wanted
    assert cluster.datanodes[0].pid is None


def test_reading_goes_on_without_a_datanode_that_is_frozen(
    cluster: Cluster, there: HdfsPlace, large: LocalSet
) -> None:
    wanted = stream_digest(read(large.folder, shuffle="none"))
    do = fault(cluster, "frozen", 1)
    assert stream_digest(read(there.folder, shuffle="none"), 1, do) == wanted


@pytest.mark.parametrize("kind", ["killed", "frozen"])
def test_a_conversion_goes_on_without_a_datanode(
    cluster: Cluster, place: HdfsPlace, large: LocalSet, kind: str
) -> None:
    with warnings.catch_warnings():
        # Only where a new block would have gone there is a shard begun anew.
        warnings.filterwarnings("ignore", message=".*trying again for 15 minutes")
        large.convert(place.folder, fault(cluster, kind, 2))
        assert digests(place) == large.digests


@pytest.mark.usefixtures("short")
def test_without_any_datanode_reading_and_writing_fail_clearly(
    cluster: Cluster, there: HdfsPlace, place: HdfsPlace, large: LocalSet
) -> None:
    for server in cluster.datanodes:
        server.kill()
    began = time.monotonic()
    with pytest.raises(UnavailableError) as caught:
        stream_digest(read(there.folder))
    assert str(caught.value).startswith(f"{there.folder}/")
    assert "no DataNode gave the block" in str(caught.value)
    storage = storage_for(place.folder)
    with (
        pytest.raises(UnavailableError, match=f"^{place.folder}/a: "),
        storage.publish(f"{place.folder}/a", attempt="1") as file,
    ):
        file.write(bytes(100))
    assert time.monotonic() - began < 300
    assert place.names() == []
    for server in cluster.datanodes:
        server.start()
    cluster.wait_until_joined(cluster.datanodes[0])
    # The same client, and files that it opened before.
    assert stream_digest(read(there.folder)) == stream_digest(read(large.folder))


def spoil(cluster: Cluster, path: str, datanodes: list[int]) -> None:
    """Change a byte of every block of a file in the folders of some DataNodes."""
    web = f"-Ddfs.namenode.http-address={cluster.web_address()}"
    report = cluster.tool(FSCK, web, path, "-files", "-blocks")
    blocks = set(re.findall(r":(blk_\d+)_\d+ ", report))
    assert blocks
    for number in datanodes:
        folder = cluster.folder / "data" / f"dn{number}"
        files = [file for file in folder.rglob("blk_*") if file.name in blocks]
        assert len(files) == len(blocks)
        for file in files:
            _flip(file)


def _flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    with file.open("r+b") as open_file:
        open_file.write(data)


def test_a_block_that_is_corrupt_is_read_from_another_datanode(
    cluster: Cluster, place: HdfsPlace, large: LocalSet
) -> None:
    name = "train-00000-of-00008.tfrecord"
    data = (large.folder / name).read_bytes()
    place.write(name, data)
    spoil(cluster, f"{place.path}/{name}", [0, 2])
    url = f"{place.folder}/{name}"
    for _ in range(3):
        with storage_for(url).open_stream(url) as stream:
            assert digest(stream.read()) == digest(data)


@pytest.mark.usefixtures("short")
def test_a_block_that_is_corrupt_everywhere_is_an_error_and_never_other_bytes(
    cluster: Cluster, place: HdfsPlace, large: LocalSet
) -> None:
    place.write_folder(large.folder)
    name = "train-00003-of-00008.tfrecord"
    spoil(cluster, f"{place.path}/{name}", [0, 1, 2])
    began = time.monotonic()
    with pytest.raises(StorageError, match=rf"^{place.folder}/{name}, byte \d+: ") as caught:
        stream_digest(read(place.folder))
    assert "the block is damaged on all of them" in str(caught.value)
    assert time.monotonic() - began < 300
