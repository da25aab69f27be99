"""What tests of all packages share: a real HDFS and S3, and no process that outlives its test."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec

import pytest
from hypothesis import HealthCheck, settings

from examples.hdfs import hadoop
from examples.hdfs.cluster import Cluster
from examples.hdfs.configuration import ClusterOptions
from examples.hdfs.server import QUICK_JAVA
from tests import started
from tests.collected import collect
from tests.s3.place import BUCKET, s3_files
from tests.s3.server import S3Server, environment, program

# On a busy machine nothing may take too long. Where CI is set examples are the same in each run.
settings.register_profile(
    "tests", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("tests")
# What many processes import is compiled once, also where the environment says otherwise.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
_BEFORE = pytest.StashKey[set[int]]()
# So many objects more than there were, and garbage is looked for between two tests.
_MANY_OBJECTS = 50_000
# Kinds of slow tests that have targets of their own. With --part every n-th test of a kind runs: no
# more than two minutes.
PARTS = {
    "kills": 13,
    "fuzz": 2,
    "outages": 7,
    "browser": 2,
    "s3": 3,
    "spark": 5,
    "speed": 6,
    "jobs": 4,
    "memory": 4,
}


def pytest_configure() -> None:
    """Let SIGINT end what tests start, also where a shell has begun all this with `&`."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # In a fork TensorFlow crashes when garbage of its parent is collected. In a thread of tf.data
    # that runs Python it would end iterators, which wait for that thread, and nothing would be
    # collected any more: this process collects between tests.
    gc.disable()
    os.register_at_fork(after_in_child=_in_a_fork)


def _in_a_fork() -> None:
    gc.freeze()
    gc.enable()


def pytest_addoption(parser: pytest.Parser) -> None:
    kinds = ", ".join(f"every {number}th of {kind}" for kind, number in PARTS.items())
    parser.addoption("--part", action="store_true", help=f"run only {kinds}")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left: set[pytest.Item] = set()
    for kind, number in PARTS.items():
        tests = [item for item in items if item.get_closest_marker(kind)]
        for item in tests:
            item.add_marker("slow")
        if config.getoption("part"):
            left.update(tests)
            left.difference_update(tests[::number])
    if left:
        config.hook.pytest_deselected(items=list(left))
        items[:] = [item for item in items if item not in left]


def pytest_collection_finish() -> None:
    """Leave what TensorFlow and others have made for good out of each garbage collection."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Iterator[None]:
    """Say at the end, in one line, how many tests were skipped, and why."""
    yield
    reports = terminalreporter.stats.get("skipped", [])
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in reports)
    if reasons:
        each = "; ".join(f"{count} x {reason}" for reason, count in reasons.most_common())
        terminalreporter.write_line(f"{len(reports)} skipped: {each}")


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
        if started.started() - before:
            collect()  # the processes of a loader end with its iterator, which an error may hold
        left = started.end(started.started() - before)
        assert not left, f"processes that this test has started and not ended: {left}"
    if gc.get_count()[0] > _MANY_OBJECTS:
        gc.collect()
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
def spark_is_there() -> None:
    """Skips where Spark cannot be had, but for continuous integration, where that is a failure."""
    missing = "" if find_spec("pyspark") else "pyspark is not installed"
    try:
        hadoop.java()
    except hadoop.UnavailableError as error:
        missing = missing or str(error)
    if missing and os.environ.get("CI") == "true":
        pytest.fail(f"no Spark to test with: {missing}")
    if missing:
        pytest.skip(f"no Spark to test with: {missing}")


@pytest.fixture(scope="session")
def hdfs(hadoop_is_there: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One NameNode and one DataNode, with small blocks, started by the first test that asks."""
    # Hadoop's own client waits that long, hundreds of times, before it asks again whether the
    # last block of a file has arrived.
    quick = {"dfs.client.block.write.locateFollowingBlock.initial.delay.ms": "20"}
    options = ClusterOptions(block_size=1 << 20, properties=quick, java=QUICK_JAVA)
    with pytest.MonkeyPatch.context() as patch:
        # The caller's own Hadoop is none of our business.
        for name in list(os.environ):
            if name.startswith("HADOOP_"):
                patch.delenv(name)
        with Cluster(tmp_path_factory.mktemp("hdfs"), options) as cluster:
            yield cluster


@pytest.fixture(scope="session")
def s3_is_there() -> None:
    """Skips where no server can be started, but for continuous integration."""
    missing = [] if find_spec("s3fs") else ["s3fs"]
    missing += [] if program().exists() else [program().name]
    if missing:
        reason = f"no S3 to test with: `bash .ci/s3 PYTHON` installs {' and '.join(missing)}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture(scope="session")
def s3(s3_is_there: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """One server with one bucket, which all processes know of by their environment."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith("AWS_"):
                patch.delenv(name)
        server = S3Server(tmp_path_factory.mktemp("s3"))
        for name, value in environment(server.url).items():
            patch.setenv(name, value)
        s3_files().mkdir(BUCKET)
        yield server
        server.stop()
