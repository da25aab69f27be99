"""HDFS mounted: every program reads what is stored there."""

from __future__ import annotations

import os
import random
import re
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from examples.hdfs.cluster import Cluster
from examples.hdfs.configuration import ClusterOptions
from examples.hdfs.server import QUICK_JAVA
from reader.mount.mount_point import file_system
from tests.hdfs.local_set import LITTLE, LocalSet, digest, read, stream_digest
from tests.hdfs.place import HdfsPlace
from tests.reader.mounts import Mount, need_fuse, run, take_away, wait_until

ORDERS = ["exact", "window", "none"]


@pytest.fixture(scope="module", autouse=True)
def fuse_is_there() -> None:
    need_fuse()


@pytest.fixture(scope="module")
def mounted(stored: HdfsPlace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mount]:
    mount = Mount(stored.folder, tmp_path_factory.mktemp("point"))
    yield mount
    mount.take_away()


def digests(point: Path) -> dict[str, str]:
    return {path.name: digest(path.read_bytes()) for path in point.iterdir()}


def test_the_files_are_those_that_are_stored(mounted: Mount, small: LocalSet) -> None:
    assert digests(mounted.point) == small.copied


def test_bytes_at_random_places_are_those_that_are_stored(mounted: Mount, small: LocalSet) -> None:
    name = "train-00001-of-00003.tfrecord"
    wanted = (small.folder / name).read_bytes()

    def work(seed: int) -> None:
        chosen = random.Random(seed)
        with open(mounted.point / name, "rb", buffering=0) as file:
            for _ in range(200):
                offset = chosen.randrange(len(wanted))
                size = chosen.choice([1, 12_345, 200_000])
                file.seek(offset)
                assert file.read(size) == wanted[offset : offset + size]

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))


@pytest.mark.parametrize("shuffle", ORDERS)
def test_our_reader_gives_the_batches_of_local_disk(
    mounted: Mount, small: LocalSet, shuffle: str
) -> None:
    local = stream_digest(read(small.folder, shuffle=shuffle, epochs=2))
    assert stream_digest(read(mounted.point, shuffle=shuffle, epochs=2)) == local


def test_a_stock_dataset_trains_from_the_mounted_glob(mounted: Mount, small: LocalSet) -> None:
    keras = pytest.importorskip("keras")
    tf = pytest.importorskip("tensorflow")
    paths = tf.io.gfile.glob(f"{mounted.point}/train-*.tfrecord")
    assert len(paths) == 3
    features = {
        "image": tf.io.FixedLenFeature([], tf.string),
        "y0": tf.io.FixedLenFeature([], tf.int64),
    }

    def parse(record: object) -> tuple[object, object]:
        parsed = tf.io.parse_single_example(record, features)
        image = tf.reshape(tf.io.decode_raw(parsed["image"], tf.uint8), [150, 150, 3])
        return tf.cast(image, tf.float32) / 255.0, parsed["y0"]

    dataset = tf.data.TFRecordDataset(paths, num_parallel_reads=3)
    model = keras.Sequential(
        [
            keras.Input((150, 150, 3)),
            keras.layers.AveragePooling2D(10),
            keras.layers.Flatten(),
            keras.layers.Dense(50),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, jit_compile=False)
    batches = dataset.map(parse).batch(16).repeat()
    found = model.fit(batches, epochs=2, steps_per_epoch=8, shuffle=False, verbose=0)
    assert found.history["loss"][-1] > 0
    stored = {digest(record.numpy()) for record in dataset}
    local = tf.data.TFRecordDataset(sorted(map(str, small.folder.glob("train-*.tfrecord"))))
    assert stored == {digest(record.numpy()) for record in local}
    assert len(stored) == 119


def test_a_daemon_serves_hdfs(stored: HdfsPlace, small: LocalSet, tmp_path: Path) -> None:
    point = tmp_path / "point"
    try:
        done = run("mount", stored.folder, point, "--daemon")
        assert done.returncode == 0, done.stderr
        assert digests(point) == small.copied
        assert run("unmount", point).returncode == 0
        # Nothing was told in its log, which ends with the server.
        log = Path(re.findall(r"listed in ([^,\s]+)", done.stdout)[0])
        wait_until(lambda: not log.exists())
    finally:
        take_away(point)


def test_who_opens_a_replaced_file_gets_the_new_one_and_who_has_it_open_an_error(
    place: HdfsPlace, tmp_path: Path
) -> None:
    place.write("file", b"a" * 3_000_000)
    mount = Mount(place.folder, tmp_path / "point")
    try:
        with open(mount.point / "file", "rb", buffering=0) as old:
            assert old.read(10) == b"a" * 10
            place.write("file", b"b" * 2_000_000)
            assert (mount.point / "file").read_bytes() == b"b" * 2_000_000
            # What the kernel holds of a path is of the new file.
            os.posix_fadvise(old.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            with pytest.raises(OSError, match="Input/output error"):
                old.read(10)
        assert "was replaced while it was read" in mount.end()[1]
    finally:
        mount.take_away()


def test_what_is_not_there_is_told(hdfs: Cluster, tmp_path: Path) -> None:
    point = tmp_path / "point"
    done = run("mount", f"{hdfs.url}/nowhere", point)
    assert done.returncode == 1
    assert done.stderr == f"shardio-read: {hdfs.url}/nowhere: No such file or directory\n"
    done = run("mount", "hdfs://127.0.0.1:1/shards", point, "--daemon")
    assert done.returncode == 1
    assert done.stderr.startswith("shardio-read: hdfs://127.0.0.1:1/shards: ")
    assert file_system(str(point)) is None


@pytest.fixture(scope="module")
def three(hadoop_is_there: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three DataNodes, each with every block; a client waits little for one of them."""
    properties = {
        "dfs.namenode.redundancy.considerLoad": "false",
        "dfs.client.socket-timeout": "1500",
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


@pytest.mark.outages
@pytest.mark.parametrize("kind", ["killed", "frozen"])
def test_a_mount_goes_on_without_a_datanode(
    three: Cluster, large: LocalSet, tmp_path: Path, kind: str
) -> None:
    place = HdfsPlace(three, f"/{kind}")
    place.write_folder(large.folder)
    mount = Mount(place.folder, tmp_path / "point")
    server = three.datanodes[0]
    do: Callable[[], object] = {"killed": server.kill, "frozen": server.freeze}[kind]
    try:
        # One epoch: each block that a frozen server has first costs seconds.
        options = {**LITTLE, "shuffle": "none", "epochs": 1}
        wanted = stream_digest(read(large.folder, **options))
        assert stream_digest(read(mount.point, **options), 2, do) == wanted
        code, said = mount.end()
        assert code == 0
        # Each of them may be waited for, which is told, and nobody gets an error.
        assert all("; waiting for up to" in line for line in said.splitlines())
    finally:
        mount.take_away()
        server.thaw()
        server.start()
        three.wait_until_joined(server)
        three.wait_until_live(3)


@pytest.mark.outages
def test_a_mount_whose_servers_are_frozen_ends_at_once_at_a_signal(
    three: Cluster, large: LocalSet, tmp_path: Path
) -> None:
    place = HdfsPlace(three, "/all-frozen")
    place.write_folder(large.folder)
    mount = Mount(place.folder, tmp_path / "point")
    name = "train-00000-of-00008.tfrecord"
    try:
        for server in three.datanodes:
            server.freeze()
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit((mount.point / name).read_bytes)
            with pytest.raises(TimeoutError):
                waiting.result(1)
            assert mount.end(signal.SIGTERM)[0] == 0
            with pytest.raises(OSError, match=r"abort|not connected|Input/output"):
                waiting.result(30)
        assert not mount.is_up
    finally:
        for server in three.datanodes:
            server.thaw()
        mount.take_away()
