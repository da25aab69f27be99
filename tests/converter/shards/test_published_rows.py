"""Rows that are published for other machines come back as they were."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converter.shards.published_rows import (
    Piece,
    RowsGoneError,
    publish_rows,
    read_job,
)
from converter.shards.shard import ShardJob
from converter.sources.image_finder import ImageFinder
from shardio.errors import StorageError
from shardio.format.naming import ShardName
from shardio.format.transform import Transform
from shardio.storage import storage_for


def job_of(folder: Path | str, name: ShardName, rows: int, heads: int, boxes: bool) -> ShardJob:
    random = np.random.default_rng(rows + 10 * heads)
    return ShardJob(
        folder=str(folder),
        name=name,
        transform=Transform(),
        heads=tuple(f"y{head}" for head in range(heads)),
        rows=random.integers(0, 2**40, rows),
        labels=random.integers(-(2**31), 2**31, (rows, heads)).astype(np.int32),
        paths=[f"é/{'x' * (row % 50)}{row}.png" for row in range(rows)],
        locations=[f"/images/{row}.png" for row in range(rows)],
        boxes=random.integers(0, 99, (rows, 4)).astype(np.int32) if boxes else None,
    )


def part(job: ShardJob, rows: slice) -> ShardJob:
    return replace(
        job,
        rows=job.rows[rows],
        labels=job.labels[rows],
        paths=job.paths[rows],
        locations=job.locations[rows],
        boxes=None if job.boxes is None else job.boxes[rows],
    )


def is_same(one: ShardJob, other: ShardJob) -> bool:
    for field in fields(ShardJob):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if isinstance(a, np.ndarray):
            if a.dtype != b.dtype or not np.array_equal(a, b):
                return False
        elif a != b:
            return False
    return True


@settings(deadline=None, max_examples=40)
@given(
    counts=st.lists(st.integers(1, 40), min_size=1, max_size=5),
    heads=st.integers(0, 3),
    boxes=st.booleans(),
    step=st.integers(1, 50),
    file_bytes=st.sampled_from([1, 2500, 1 << 20]),
)
def test_jobs_come_back_as_they_were(
    counts: list[int],
    heads: int,
    boxes: bool,
    step: int,
    file_bytes: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    out = tmp_path_factory.mktemp("out")
    names = [ShardName("train", index, len(counts)) for index in range(len(counts))]
    jobs = {
        name: job_of(out, name, count, heads, boxes)
        for name, count in zip(names, counts, strict=True)
    }

    def slices(name: ShardName) -> Iterator[ShardJob]:
        for start in range(0, len(jobs[name].rows), step):
            yield part(jobs[name], slice(start, start + step))

    common = part(jobs[names[0]], slice(0))
    folder, published = publish_rows(str(out), common, names, slices, file_bytes=file_bytes)
    assert all(is_same(published.job(name), job) for name, job in jobs.items())
    pieces = [piece for name in names for piece in published.pieces[name]]
    files = storage_for(folder).list(folder)
    assert sum(info.size for info in files) == sum(piece.size for piece in pieces)
    assert {info.path for info in files} == {piece.file for piece in pieces}
    most = max(piece.size for piece in pieces)
    assert all(info.size <= max(file_bytes, most) for info in files)


def published(out: Path, places: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> ShardJob:
    """Return the job of a shard whose images are at these places of the current folder."""
    monkeypatch.chdir(out)
    name = ShardName("train", 0, 1)
    job = replace(job_of("shards", name, len(places), 1, False), locations=list(places))
    job = replace(job, finder=ImageFinder("images", "."))
    _, jobs = publish_rows("shards", part(job, slice(0)), [name], lambda _: [job])
    return jobs.job(name)


def test_places_do_not_depend_on_the_folder_that_a_machine_works_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = published(
        tmp_path,
        [
            "images/a.png",
            "/data/b.png",
            "hdfs://host/c.png",
            "packed://bytes/7+9/a.tar",
            "packed://lmdb/0+9/hdfs://host/x",
            "a.tar::b/../c.png",
            "file:///d.png",
        ],
        monkeypatch,
    )
    assert job.locations == [
        f"{tmp_path}/images/a.png",
        "/data/b.png",
        "hdfs://host/c.png",
        f"packed://bytes/7+9/{tmp_path}/a.tar",
        "packed://lmdb/0+9/hdfs://host/x",
        f"{tmp_path}/a.tar::b/../c.png",
        "file:///d.png",
    ]
    assert job.folder == f"{tmp_path}/shards"
    assert job.finder == ImageFinder(f"{tmp_path}/images", f"{tmp_path}/.")


def test_rows_that_are_gone_cut_damaged_or_of_another_shard_are_refused(tmp_path: Path) -> None:
    names = [ShardName("train", index, 2) for index in range(2)]
    jobs = {name: job_of(tmp_path, name, 9, 1, False) for name in names}
    common = part(jobs[names[0]], slice(0))
    _, found = publish_rows(str(tmp_path), common, names, lambda name: [jobs[name]])
    (piece,) = found.pieces[names[0]]
    with pytest.raises(StorageError, match=r"rows of train-00000-.*, not of train-00001"):
        read_job(common, names[1], [piece])
    with pytest.raises(StorageError, match="damaged"):
        read_job(common, names[0], [replace(piece, offset=piece.offset + 8)])
    size = Path(piece.file).stat().st_size
    with pytest.raises(StorageError, match=rf"is cut at byte {size}"):
        read_job(common, names[0], [replace(piece, offset=size - 5)])
    with pytest.raises(RowsGoneError, match="is not there"):
        read_job(common, names[0], [Piece(f"{piece.file}x", 0, 9)])
