"""Sets of images that the tests of HDFS share."""

from __future__ import annotations

from uuid import uuid4

import pytest

from examples.hdfs.cluster import Cluster
from tests.hdfs.local_set import LocalSet, make_set
from tests.hdfs.place import HdfsPlace


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> LocalSet:
    """Three shards of three blocks each; blocks end within records."""
    return make_set(tmp_path_factory.mktemp("small"), 120, 3, 150)


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> LocalSet:
    """63 MB in eight shards, of which little is read at once."""
    return make_set(tmp_path_factory.mktemp("large"), 320, 8, 256)


@pytest.fixture
def place(hdfs: Cluster) -> HdfsPlace:
    """A folder of its own."""
    return HdfsPlace(hdfs, f"/{uuid4().hex}")


@pytest.fixture(scope="session")
def stored(hdfs: Cluster, small: LocalSet) -> HdfsPlace:
    """The small set on HDFS, written by Hadoop; nobody writes to it."""
    place = HdfsPlace(hdfs, "/stored")
    place.write_folder(small.folder)
    return place
