"""Shards staged from HDFS: the same bytes as on local disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from reader.commands.staging import Staging
from tests.hdfs.local_set import LocalSet, digest
from tests.hdfs.place import HdfsPlace
from tests.reader.mounts import run


def test_the_copy_is_the_set(stored: HdfsPlace, small: LocalSet, tmp_path: Path) -> None:
    done = run("stage", stored.folder, tmp_path / "disk")
    assert done.returncode == 0, done.stderr
    found = {path.name: digest(path.read_bytes()) for path in (tmp_path / "disk").iterdir()}
    assert found == small.copied


@pytest.mark.parametrize("jobs", [1, 8])
def test_a_stop_and_the_next_try(
    stored: HdfsPlace, small: LocalSet, tmp_path: Path, jobs: int
) -> None:
    def stop(size: int) -> None:
        if size:
            raise KeyboardInterrupt

    staging = Staging(stored.folder, str(tmp_path), None)
    with pytest.raises(KeyboardInterrupt):
        staging.run(stop, jobs=jobs)
    assert not (tmp_path / "dataset.json").exists()
    staging.run(lambda size: None)
    assert {path.name: digest(path.read_bytes()) for path in tmp_path.iterdir()} == small.copied
