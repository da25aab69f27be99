"""A made set of many records: its dataset.json and records.parquet, without the shards."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet

from reader.files.shard import ShardFile
from reader.sets.record_columns import Records
from shardio.format.label import Label
from shardio.format.manifest import Manifest, ShardEntry, Versions
from shardio.format.transform import Transform
from shardio.storage.whole_file import digest_of

_GROUP = 65_536  # rows of a row group, as the converter writes them
_PIECE = 1_000_000
CLASSES = 21_000
LABELS = Label("y0", CLASSES), Label("y1", CLASSES)


def write_heads(folder: Path, records: int) -> None:
    """Write the labels of two heads, few of most classes, as arrays and as records.parquet.

    What is there is kept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    heads = {}
    for number, label in enumerate(LABELS):
        path = folder / f"{label.name}.npy"
        if not path.exists():
            array = np.lib.format.open_memmap(path, "w+", np.int32, (records,))
            for start in range(0, records, _PIECE):
                part = array[start : start + _PIECE]
                random = np.random.default_rng([start, number]).random(len(part))
                part[:] = (random**4 * CLASSES).astype(np.int32)
        heads[label.name] = np.load(path, mmap_mode="r")
    write_table(folder / "records.parquet", records, heads)


def write_table(path: Path, records: int, heads: Mapping[str, NDArray[np.int32]]) -> None:
    """Write the labels as records.parquet has them, without the other columns but the row."""
    if path.exists():
        return
    schema = pa.schema([("row", pa.int64()), *((name, pa.int32()) for name in heads)])
    with parquet.ParquetWriter(str(path), schema, compression="zstd") as writer:
        for start in range(0, records, _GROUP):
            stop = min(start + _GROUP, records)
            columns: dict[str, NDArray[Any]] = {"row": np.arange(start, stop)}
            columns |= {name: values[start:stop] for name, values in heads.items()}
            writer.write_table(pa.table(columns, schema), _GROUP)


def made_records(folder: Path, records: int) -> Records:
    """Return the records of a set whose records.parquet lies in a folder."""
    name = "train-00000-of-00001.tfrecord"
    entry = ShardEntry(name, "train", records, 0, "", None, None)
    manifest = Manifest(
        plan_sha256="",
        transform=Transform(None, (128, 32)),
        labels=LABELS,
        seed=0,
        versions=Versions("", ""),
        rows_read=records,
        rows_written=records,
        rows_rejected=0,
        shards=(entry,),
        records=digest_of(str(folder / "records.parquet")),
    )
    shard = ShardFile(str(folder / name), records, entry)

    def read(ids: NDArray[np.int64]) -> NDArray[np.int64]:
        raise NotImplementedError("there are no shards")

    return Records(f"made {records}", [shard], LABELS, manifest, [], read)
