"""Conversions on a standalone cluster of Spark, from HDFS and to it, with deaths in the middle."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from examples.hdfs.cluster import Cluster
from examples.hdfs.server import QUICK_JAVA
from tests.converter.held_run import HeldRun
from tests.converter.inputs import kill_group, start, wait_until
from tests.hdfs.local_set import LocalSet, digests, make_set
from tests.hdfs.place import HdfsPlace
from tests.spark.packed import bare_python, pack
from tests.spark.standalone import Standalone

pytestmark = pytest.mark.spark
ROOT = Path(__file__).parents[2]
SHARDS = 24
_SPECULATION = {"": "true", ".interval": "100ms", ".quantile": "0.1", ".multiplier": "1.5"}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> LocalSet:
    """A set that the engine inline has made."""
    return make_set(tmp_path_factory.mktemp("source"), 1200, SHARDS, 64)


@pytest.fixture(scope="module")
def spark(spark_is_there: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standalone]:
    with Standalone(tmp_path_factory.mktemp("spark")) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def table(hdfs: Cluster, source: LocalSet) -> str:
    """The table of the set on HDFS, with its images."""
    place = HdfsPlace(hdfs, f"/{uuid4().hex}")
    place.write("labels.csv", source.table.read_bytes())
    for image in (source.table.parent / "images").iterdir():
        place.write(f"images/{image.name}", image.read_bytes())
    return f"{place.folder}/labels.csv"


@pytest.fixture
def out(hdfs: Cluster) -> HdfsPlace:
    return HdfsPlace(hdfs, f"/{uuid4().hex}")


def begin(
    spark: Standalone, table: str, out: HdfsPlace, **properties: str
) -> subprocess.Popen[str]:
    """Start the converter; executors find the project in this folder."""
    properties = {
        "spark.executorEnv.PYTHONPATH": str(ROOT),
        "spark.executor.memory": "512m",
        "spark.driver.host": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.driver.extraJavaOptions": " ".join(QUICK_JAVA),
        "spark.executor.extraJavaOptions": " ".join(QUICK_JAVA),
        **properties,
    }
    conf = [word for item in properties.items() for word in ("--conf", "=".join(item))]
    words = ["--crop", "none", "--size", "64x64", "--shards", SHARDS]
    return start(table, out.folder, *words, "--engine", "spark", "--master", spark.url, *conf)


@pytest.fixture(scope="module")
def archive(spark_is_there: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack(tmp_path_factory.mktemp("environment"))


def end(process: subprocess.Popen[str]) -> str:
    """Wait for the converter; returns what it said of the rows."""
    said, told = process.communicate(timeout=400)
    assert process.returncode == 0, told
    return said


def wait_for_shards(out: HdfsPlace, count: int, process: subprocess.Popen[str]) -> None:
    """Wait until the converter has made some."""

    def are_there() -> bool:
        assert process.poll() is None, process.communicate()
        return len([name for name in out.names() if name.endswith(".tfrecord")]) >= count

    wait_until(are_there, 300)


@pytest.fixture
def held(tmp_path: Path) -> HeldRun:
    """A run of which each process waits in its third shard, of 50 images each."""
    return HeldRun(tmp_path, 110)


def on_executors(held: HeldRun) -> dict[str, str]:
    return {f"spark.executorEnv.{name}": value for name, value in held.settings.items()}


def test_a_worker_is_killed_in_the_middle(
    spark: Standalone, table: str, out: HdfsPlace, source: LocalSet, held: HeldRun
) -> None:
    process = begin(spark, table, out, **on_executors(held))
    try:
        wait_for_shards(out, 1, process)
        victim = next(name for name in spark.workers if spark.pythons(name))
        spark.kill(victim)
        held.release()
        assert "1,199 written + 1 rejected" in end(process)
    finally:
        kill_group(process)
        spark.add()
    assert digests(out) == source.digests


def test_a_frozen_attempt_is_overtaken_by_a_speculative_one(
    spark: Standalone, table: str, out: HdfsPlace, source: LocalSet, held: HeldRun
) -> None:
    speculation = {f"spark.speculation{name}": value for name, value in _SPECULATION.items()}
    process = begin(spark, table, out, **on_executors(held), **speculation)
    try:
        wait_for_shards(out, 1, process)
        victim = next(name for name in spark.workers if spark.pythons(name))
        frozen = spark.pythons(victim)
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
        held.release()
        end(process)
    finally:
        kill_group(process)
    assert digests(out) == source.digests


def test_a_killed_driver_and_a_task_that_fails_for_ever(
    spark: Standalone, table: str, out: HdfsPlace, source: LocalSet, held: HeldRun
) -> None:
    process = begin(spark, table, out, **on_executors(held))
    try:
        wait_for_shards(out, 2, process)
        process.send_signal(signal.SIGKILL)
        process.wait()
    finally:
        kill_group(process)
    made = {name for name in out.names() if name.endswith(".tfrecord")}
    shards = {name for name in source.digests if name.endswith(".tfrecord")}
    assert made < shards
    hindered = max(shards - made)
    out.write(f"{hindered}/mine", b"")
    process = begin(spark, table, out)
    try:
        said, told = process.communicate(timeout=400)
    finally:
        kill_group(process)
    assert process.returncode == 1, said
    last = told.splitlines()[-1]
    assert last.startswith(f"shardio-convert: {hindered} on "), told
    assert "org.apache" not in last
    assert "Traceback" not in told
    out.remove(hindered)
    process = begin(spark, table, out)
    try:
        end(process)
    finally:
        kill_group(process)
    assert digests(out) == source.digests


def test_an_archive_brings_the_environment_to_machines_without_the_project(
    spark: Standalone,
    table: str,
    out: HdfsPlace,
    source: LocalSet,
    archive: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    none = {"spark.executorEnv.PYTHONPATH": ""}
    monkeypatch.setenv("PYSPARK_PYTHON", str(bare_python()))
    process = begin(spark, table, out, **none)
    try:
        said, told = process.communicate(timeout=400)
    finally:
        kill_group(process)
    assert process.returncode == 1, said
    assert "Spark's executors has no module converter: ship" in told.splitlines()[-1], told
    monkeypatch.setenv("PYSPARK_PYTHON", "./environment/bin/python")
    process = begin(spark, table, out, **none, **{"spark.archives": f"{archive}#environment"})
    try:
        end(process)
    finally:
        kill_group(process)
    assert digests(out) == source.digests
