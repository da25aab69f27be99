"""Sets of images that the tests of S3 share."""

from __future__ import annotations

from uuid import uuid4

import pytest

from tests.hdfs.local_set import LocalSet, make_set
from tests.s3.place import BUCKET, S3Place
from tests.s3.server import S3Server


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> LocalSet:
    """8 MB in three shards."""
    return make_set(tmp_path_factory.mktemp("small"), 120, 3, 150)


@pytest.fixture
def place(s3: S3Server) -> S3Place:
    """A folder of its own."""
    return S3Place(f"s3://{BUCKET}/{uuid4().hex}")


@pytest.fixture(scope="session")
def stored(s3: S3Server, small: LocalSet) -> S3Place:
    """The small set, written by s3fs; nobody writes to it."""
    place = S3Place(f"s3://{BUCKET}/stored")
    place.write_folder(small.folder)
    return place
