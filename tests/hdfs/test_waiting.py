"""Reading from servers that hang is reported, and an interrupt ends every wait."""

from __future__ import annotations

import logging
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from examples.hdfs.cluster import Cluster
from examples.hdfs.configuration import ClusterOptions
from examples.hdfs.server import QUICK_JAVA
from shardio.errors import UnavailableError
from shardio.storage import hdfs_files, storage_for
from shardio.storage.waiting import interrupted_by
from tests.hdfs.local_set import LocalSet
from tests.hdfs.place import HdfsPlace
from tests.interrupts import Waiting
from tests.reader.mounts import Mount, need_fuse, wait_until

pytestmark = pytest.mark.outages


@pytest.fixture(scope="module")
def one(
    hadoop_is_there: None, large: LocalSet, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """A cluster with the large set in `/large`."""
    options = ClusterOptions(block_size=1 << 20, java=QUICK_JAVA)
    with Cluster(tmp_path_factory.mktemp("one"), options) as cluster:
        HdfsPlace(cluster, "/large").write_folder(large.folder)
        yield cluster


@pytest.fixture
def cluster(one: Cluster) -> Iterator[Cluster]:
    yield one
    for server in [*one.namenodes, *one.datanodes]:
        server.thaw()
        server.start()
    one.wait_until_joined(one.datanodes[0])
    one.wait_until_live(1)


def freeze(cluster: Cluster) -> None:
    for server in [*cluster.namenodes, *cluster.datanodes]:
        server.freeze()


READ = """
import sys
from pathlib import Path
from time import sleep
from reader import open_shards
shards = open_shards("URL/large")
batches = shards.batches(4, shuffle="ORDER", memory="32MB", epochs=None)
next(batches)
Path("BEGAN").touch()
for _ in batches:
    sleep(0.05)
"""
STREAM = """
from pathlib import Path
from shardio.storage import hdfs_files, storage_for
name = "URL/large/train-00000-of-00008.tfrecord"
storage = storage_for(name)
while True:
    with storage.open_stream(name) as stream:
        while stream.read(100_000):
            pass
    Path("BEGAN").touch()
"""
READS = {order: READ.replace("ORDER", order) for order in ("exact", "window", "none")}
READS["stream"] = STREAM


@pytest.mark.parametrize("kind", READS)
def test_an_interrupt_ends_the_wait_for_servers_that_are_frozen(
    cluster: Cluster, tmp_path: Path, kind: str
) -> None:
    began = tmp_path / "began"
    code = READS[kind].replace("URL", cluster.url).replace("BEGAN", str(began))
    waiting = Waiting([sys.executable, "-c", code])
    wait_until(began.exists)
    freeze(cluster)
    notice = waiting.until_reported()
    assert re.search(rf"{cluster.url}.*; waiting for up to \d+ seconds more$", notice)
    found, said = waiting.interrupt()
    assert found == -signal.SIGINT, "\n".join(said)
    assert said[-1] == "KeyboardInterrupt"


@pytest.mark.parametrize(
    "command",
    [
        ["reader", "info", "URL/large"],
        ["reader", "verify", "URL/large"],
        ["reader", "stage", "URL/large", "OUT"],
        ["converter", "TABLE", "URL/new"],
    ],
)
def test_a_command_line_says_what_it_waits_for_and_ends_at_an_interrupt(
    cluster: Cluster, large: LocalSet, tmp_path: Path, command: list[str]
) -> None:
    freeze(cluster)
    names = {"URL": cluster.url, "OUT": str(tmp_path / "out"), "TABLE": str(large.table)}
    words = [re.sub("URL|OUT|TABLE", lambda found: names[found[0]], word) for word in command]
    waiting = Waiting([sys.executable, "-m", *words])
    assert re.match(rf"shardio-\w+: no answer from {cluster.url}; ", waiting.until_reported())
    found, said = waiting.interrupt()
    assert found == 130
    assert not [line for line in said if "Traceback" in line]


def test_the_end_of_the_wait_is_one_error(
    cluster: Cluster, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The NameNode answers no more either, when the places of blocks are asked again."""
    # A minute, otherwise.
    monkeypatch.setattr(hdfs_files, "_READ_SECONDS", 20.0)
    url = f"{cluster.url}/large/train-00000-of-00008.tfrecord"
    reader = storage_for(url).open_ranges(url)
    freeze(cluster)
    memory = memoryview(bytearray(3_000_000))
    with (
        caplog.at_level(logging.WARNING, logger="shardio"),
        pytest.raises(UnavailableError, match=f"^{url}.* within 20 seconds; (is|are) .* up") as end,
    ):
        reader.read_into(0, memory)
    assert "\n" not in str(end.value)
    seconds = [int(found) for found in re.findall(r"for up to (\d+) seconds more", caplog.text)]
    # They are parts of one wait.
    assert seconds
    assert max(seconds) <= 15
    assert seconds == sorted(seconds, reverse=True)


def test_a_stream_goes_on_after_an_interrupt(cluster: Cluster, large: LocalSet) -> None:
    name = "train-00000-of-00008.tfrecord"
    url = f"{cluster.url}/large/{name}"
    asked = threading.Event()
    found = bytearray()
    interrupts = []

    def interrupted_read(stream: BinaryIO) -> None:
        with interrupted_by(asked.is_set):
            try:
                while piece := stream.read(700_000):
                    found.extend(piece)
            except KeyboardInterrupt as error:
                interrupts.append(error)

    with storage_for(url).open_stream(url) as stream:
        found += stream.read(1_000_000)
        freeze(cluster)
        thread = threading.Thread(target=interrupted_read, args=(stream,), daemon=True)
        thread.start()
        # What sockets hold comes first, and then nothing.
        thread.join(3)
        asked.set()
        thread.join(120)
        assert len(interrupts) == 1
        for server in [*cluster.namenodes, *cluster.datanodes]:
            server.thaw()
        found += stream.read()
    assert found == (large.folder / name).read_bytes()


def test_a_listing_of_a_mount_whose_servers_are_frozen_can_be_interrupted(
    cluster: Cluster, tmp_path: Path
) -> None:
    need_fuse()
    mount = Mount(f"{cluster.url}/", tmp_path / "point")
    try:
        freeze(cluster)
        asking = subprocess.Popen(["ls", mount.point / "large"])
        assert mount.process.stderr is not None
        assert "waiting for up to" in mount.process.stderr.readline()
        asking.send_signal(signal.SIGINT)
        asking.wait(300)
        # The storage has not given up yet.
        assert "within" not in mount.end()[1]
        assert asking.returncode == -signal.SIGINT
    finally:
        mount.take_away()
