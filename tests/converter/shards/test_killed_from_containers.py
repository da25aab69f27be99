"""A run whose images lie in a container is killed before each change to files, and goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from converter import ConvertOptions, convert
from shardio.format.transform import Transform
from tests.converter.ended_runs import sweep
from tests.converter.inputs import contents
from tests.converter.sample_sets import IMAGES, members_of, values_of, write_lmdb, write_tar
from tests.converter.table.samples.test_tfrecords import records_of, write

pytestmark = pytest.mark.kills

NUMBERS = range(6)


def parquet_of(path: Path) -> Path:
    """Write the images as Hugging Face does; one of them is none."""
    rows = [{"bytes": IMAGES[n] if n else b"none", "path": f"{n}.png"} for n in NUMBERS]
    parquet.write_table(pa.table({"image": rows, "cls": [*NUMBERS]}), path)
    return path


CONTAINERS: dict[str, tuple[Callable[[Path], Path], dict[str, Any]]] = {
    "tar": (lambda folder: write_tar(folder / "a.tar", members_of(NUMBERS)), {"labels": ["cls"]}),
    "LMDB": (
        lambda folder: write_lmdb(folder / "lmdb", values_of(NUMBERS)),
        {"labels": ["label"], "text_labels": True},
    ),
    "TFRecord": (
        lambda folder: write(folder / "a.tfrecord", records_of(NUMBERS)),
        {"labels": ["txt"], "text_labels": True},
    ),
    "TFRecord, gzip": (
        lambda folder: write(folder / "a.tfrecord", records_of(NUMBERS), "gzip"),
        {"labels": ["cls"]},
    ),
    "Parquet": (lambda folder: parquet_of(folder / "a.parquet"), {"labels": ["cls"]}),
}


@pytest.mark.parametrize("container", CONTAINERS)
def test_the_same_files_whenever_it_was_killed(tmp_path: Path, container: str) -> None:
    make, options = CONTAINERS[container]
    table = make(tmp_path)
    made: dict[str, Any] = {
        name: tuple(x) if isinstance(x, list) else x for name, x in options.items()
    }
    convert(
        str(table),
        str(tmp_path / "fresh"),
        ConvertOptions(transform=Transform(None, (4, 2)), shards=2, **made),
        engine="inline",
        max_rejects="9",
    )
    wanted = contents(tmp_path / "fresh")
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    ends = sweep(table, tmp_path / "out", options=options)
    assert len(ends) > 20
    for between, code, files in ends:
        assert (code, files) == (0, wanted), between
    assert before == {path: path.read_bytes() for path in before}
