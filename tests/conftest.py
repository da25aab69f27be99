"""What tests of all packages share: one real HDFS, and no process that outlives its test."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from examples.hdfs import hadoop
from examples.hdfs.cluster import Cluster
from examples.hdfs.configuration import ClusterOptions
from tests import started

_BEFORE = pytest.StashKey[set[int]]()


@pytest.fixture(scope="session", autouse=True)
def no_process_outlives_the_tests() -> Iterator[None]:
    started.mark()
    yield
    left = started.end(started.at_the_end(), servers=True)
    assert not left, f"processes that no test or fixture has ended: {left}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    item.stash[_BEFORE] = started.started()
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    """Fail a test that leaves a process behind: whatever it was, it works on beside the others."""
    result = yield
    if _BEFORE in item.stash:
        before = item.stash[_BEFORE]
        left = started.end(started.started() - before)
        assert not left, f"processes that this test has started and not ended: {left}"
    return result


@pytest.fixture(scope="session")
def hadoop_is_there() -> None:
    """Skips where Hadoop cannot be had, but for continuous integration, where that is a failure."""
    try:
        hadoop.java()
        hadoop.jars()
    except hadoop.UnavailableError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"no HDFS to test with: {error}")
        pytest.skip(f"no HDFS to test with: {error}")


@pytest.fixture(scope="session")
def hdfs(hadoop_is_there: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One NameNode and one DataNode, with small blocks, started by the first test that asks."""
    # Hadoop's own client waits that long, hundreds of times, before it asks again whether the
    # last block of a file has arrived.
    quick = {"dfs.client.block.write.locateFollowingBlock.initial.delay.ms": "20"}
    options = ClusterOptions(block_size=1 << 20, properties=quick)
    with pytest.MonkeyPatch.context() as patch:
        # The caller's own Hadoop is none of our business.
        for name in list(os.environ):
            if name.startswith("HADOOP_"):
                patch.delenv(name)
        with Cluster(tmp_path_factory.mktemp("hdfs"), options) as cluster:
            yield cluster
