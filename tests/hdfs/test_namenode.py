"""NameNodes that restart, hang, refuse to write, or hand over to another one."""

from __future__ import annotations

import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from examples.hdfs.cluster import Cluster
from examples.hdfs.configuration import ClusterOptions
from examples.hdfs.server import QUICK_JAVA
from shardio.errors import StorageError, UnavailableError
from shardio.storage import hdfs_client
from tests.converter.inputs import run, wait_until
from tests.hdfs.local_set import LITTLE, LocalSet, digests, read, stream_digest
from tests.hdfs.place import HdfsPlace

ORDERS = ["exact", "window", "none"]
# Small blocks, so that a shard needs its NameNode often.
QUICK = {"dfs.client.block.write.locateFollowingBlock.initial.delay.ms": "20"}


@pytest.fixture(scope="module")
def one(hadoop_is_there: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A NameNode of these tests' own."""
    options = ClusterOptions(block_size=1 << 20, properties=QUICK, java=QUICK_JAVA)
    with Cluster(tmp_path_factory.mktemp("one"), options) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def two(hadoop_is_there: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two NameNodes with one name."""
    options = ClusterOptions(block_size=1 << 20, ha=True, properties=QUICK, java=QUICK_JAVA)
    with (
        Cluster(tmp_path_factory.mktemp("two"), options) as cluster,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("HADOOP_CONF_DIR", str(cluster.conf))
        yield cluster


@contextmanager
def takes_at_most(seconds: float) -> Iterator[None]:
    """Hold against a generous bound what must not take for ever."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


def later(do: Callable[[], object]) -> Callable[[], object]:
    """Return a function that lets `do` begin, in a thread."""
    return lambda: threading.Thread(target=do).start()


def convert(local: LocalSet, out: str, do: Callable[[], object]) -> None:
    with warnings.catch_warnings():
        # Where no more than the end of a shard is left, nobody needs to wait.
        warnings.filterwarnings("ignore", message=".*trying again for 15 minutes")
        local.convert(out, do)


def restart(cluster: Cluster, seconds: float = 1) -> Callable[[], object]:
    def work() -> None:
        time.sleep(seconds)
        cluster.namenodes[0].start()

    def kill() -> None:
        cluster.namenodes[0].kill()
        later(work)()

    return kill


@pytest.mark.outages
def test_a_conversion_goes_on_after_a_restart(one: Cluster, large: LocalSet) -> None:
    place = HdfsPlace(one, f"/{uuid4().hex}")
    convert(large, place.folder, restart(one))
    assert digests(place) == large.digests


@pytest.mark.outages
def test_reading_goes_on_after_a_restart(one: Cluster, large: LocalSet) -> None:
    place = HdfsPlace(one, f"/{uuid4().hex}")
    place.write_folder(large.folder)
    for shuffle in ORDERS:
        wanted = stream_digest(read(large.folder, shuffle=shuffle, **LITTLE))
        do = restart(one)
        assert stream_digest(read(place.folder, shuffle=shuffle, **LITTLE), 1, do) == wanted
        assert one.namenodes[0].pid is not None, "nobody needed it"
        one.wait_until_live(1)


@pytest.mark.outages
def test_a_namenode_that_hangs_for_a_while_is_waited_for(
    one: Cluster, large: LocalSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Longer than one that has never answered."""
    monkeypatch.setattr(hdfs_client, "_FIRST_SECONDS", 2.0)
    server = one.namenodes[0]

    def hang() -> None:
        server.freeze()
        threading.Timer(6, server.thaw).start()

    place = HdfsPlace(one, f"/{uuid4().hex}")
    convert(large, place.folder, hang)
    assert digests(place) == large.digests
    wanted = stream_digest(read(large.folder, shuffle="none"))
    assert stream_digest(read(place.folder, shuffle="none"), 1, hang) == wanted


@pytest.mark.outages
def test_a_namenode_that_hangs_from_the_start_is_given_up_soon(
    one: Cluster, small: LocalSet, tmp_path: Path
) -> None:
    one.namenodes[0].freeze()
    try:
        with takes_at_most(240):
            done = run(small.table, f"{one.url}/never", "--shards", 1)
    finally:
        one.namenodes[0].thaw()
    assert done.returncode == 1
    *notices, line = done.stderr.splitlines()
    assert all("; waiting for up to" in notice for notice in notices)
    assert line.startswith(f"shardio-convert: {one.url}/never")
    assert f"no answer from {one.url} within 8 seconds" in line


def test_an_administrators_safe_mode_refuses_writing_at_once(
    hdfs: Cluster, place: HdfsPlace, small: LocalSet, stored: HdfsPlace
) -> None:
    def enter() -> None:
        hdfs.admin("-safemode", "enter")

    try:
        with takes_at_most(240), pytest.raises(StorageError) as caught:
            small.convert(place.folder, enter)
        assert not isinstance(caught.value, UnavailableError)
        assert str(caught.value).startswith(f"{place.folder}/")
        for words in ("It was turned on manually", "hdfs dfsadmin -safemode"):
            assert words in str(caught.value)
        # What reads does not mind.
        assert stream_digest(read(stored.folder)) == stream_digest(read(small.folder))
        left = digests(place)
    finally:
        hdfs.admin("-safemode", "leave")
    whole = small.digests
    assert "dataset.json" not in left
    assert all(found == whole[name] for name, found in left.items() if name.startswith("train-"))
    small.convert(place.folder)
    assert digests(place) == whole


@pytest.mark.outages
def test_the_safe_mode_of_a_start_is_waited_for(one: Cluster, small: LocalSet) -> None:
    """Without its DataNode a NameNode stays in it: no block has been reported."""
    place = HdfsPlace(one, f"/{uuid4().hex}")
    place.write_folder(small.folder)
    wanted = stream_digest(read(small.folder))
    assert stream_digest(read(place.folder)) == wanted
    (datanode,), (namenode,) = one.datanodes, one.namenodes
    datanode.stop()
    namenode.stop()
    namenode.start()

    def come_back() -> None:
        time.sleep(3)
        datanode.start()

    later(come_back)()
    out = HdfsPlace(one, f"/{uuid4().hex}")
    convert(small, out.folder, int)
    one.wait_until_live(1)
    assert digests(out) == small.digests


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def test_a_wrong_address_fails_soon_and_is_named(
    small: LocalSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hdfs_client, "_FIRST_SECONDS", 2.0)  # for the one that is mute
    with socket.create_server(("127.0.0.1", 0)) as mute:  # takes connections, says nothing
        roots = {
            f"hdfs://127.0.0.1:{free_port()}": "Connection refused",
            "hdfs://no-such-host.invalid": "lookup address",
            f"hdfs://127.0.0.1:{mute.getsockname()[1]}": "no answer from",
        }
        for root, reason in roots.items():
            with takes_at_most(240), pytest.raises(StorageError) as caught:
                small.convert(f"{root}/shards")
            assert str(caught.value).startswith(f"{root}/shards")
            assert reason in str(caught.value)


def active(cluster: Cluster) -> int:
    """Wait until both NameNodes run and one is active; return which."""

    def states() -> list[str]:
        return [cluster.state(server.name) for server in cluster.namenodes]

    wait_until(lambda: sorted(states()) == ["active", "standby"])
    cluster.wait_until_live(1)
    return states().index("active")


def fail_over(cluster: Cluster) -> Callable[[], object]:
    """Kill the active NameNode; the other one takes over as ZooKeeper would let it."""
    number = active(cluster)
    server, other = cluster.namenodes[number], cluster.namenodes[1 - number]

    def work() -> None:
        time.sleep(1)
        cluster.activate(other.name)
        server.start()

    def kill() -> None:
        server.kill()
        later(work)()

    return kill


@pytest.mark.outages
def test_another_namenode_takes_over_during_conversion_and_reading(
    two: Cluster, large: LocalSet
) -> None:
    assert two.url == "hdfs://shardio"
    convert(large, f"{two.url}/ha", fail_over(two))
    place = HdfsPlace(two, "/ha", two.namenodes[active(two)].name)
    assert digests(place) == large.digests
    for shuffle in ORDERS:
        wanted = stream_digest(read(large.folder, shuffle=shuffle, **LITTLE))
        do, before = fail_over(two), active(two)
        found = stream_digest(read(f"{two.url}/ha", shuffle=shuffle, **LITTLE), 1, do)
        assert two.state(two.namenodes[1 - before].name) == "active", "nobody needed it"
        assert found == wanted
