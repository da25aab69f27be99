"""Shards of HDFS that are cached on a disk while they are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from examples.hdfs.cluster import Cluster
from reader import open_shards
from reader.batching.options import Shuffle
from shardio.errors import DatasetError
from tests.hdfs.local_set import LocalSet, read, stream_digest
from tests.hdfs.place import HdfsPlace
from tests.reader.cached import copies, end_while_filling, fill, unfinished

ORDERS = ["exact", "window", "none"]
USUAL: dict[str, Any] = {"batch_size": 16, "rows": True, "dtype": "uint8", "epochs": 2}


@pytest.mark.parametrize("shuffle", ORDERS)
def test_batches_are_those_of_local_disk(
    stored: HdfsPlace, small: LocalSet, tmp_path: Path, shuffle: Shuffle
) -> None:
    wanted = stream_digest(read(small.folder, shuffle=shuffle, epochs=2))
    shards = open_shards(stored.folder, cache=tmp_path)
    assert stream_digest(shards.batches(**USUAL, shuffle=shuffle)) == wanted
    fill(shards)
    assert [path.read_bytes() for path in sorted(copies(tmp_path), key=lambda p: p.name[25:])] == [
        path.read_bytes() for path in sorted(small.folder.glob("*.tfrecord"))
    ]
    assert stream_digest(shards.batches(**USUAL, shuffle=shuffle)) == wanted
    copies(tmp_path)[1].unlink()
    assert stream_digest(shards.batches(**USUAL, shuffle=shuffle)) == wanted


def test_a_shard_that_is_replaced_is_noticed(
    place: HdfsPlace, small: LocalSet, tmp_path: Path
) -> None:
    place.write_folder(small.folder)
    shards = open_shards(place.folder, cache=tmp_path)
    fill(shards)
    stream_digest(shards.batches(**USUAL))
    place.write("train-00001-of-00003.tfrecord", place.read("train-00001-of-00003.tfrecord"))
    with pytest.raises(DatasetError, match=r"train-00001-of-00003.tfrecord was replaced"):
        stream_digest(shards.batches(**USUAL))


@pytest.mark.parametrize("how", ["ends", "killed"])
def test_a_process_that_ends_or_is_killed_while_it_fills(
    hdfs: Cluster, place: HdfsPlace, large: LocalSet, tmp_path: Path, how: str
) -> None:
    place.write_folder(large.folder)
    end_while_filling(place.folder, tmp_path, 6, how)  # of four of a shard
    assert len(copies(tmp_path)) == 1
    assert len(unfinished(tmp_path)) == (how == "killed")
    wanted = {path.name: path.read_bytes() for path in large.folder.glob("*.tfrecord")}
    shards = open_shards(place.folder, cache=tmp_path)
    fill(shards)
    assert unfinished(tmp_path) == []
    assert {path.name[25:]: path.read_bytes() for path in copies(tmp_path)} == wanted
