"""What an export writes: image files, WebDataset tars, Parquet of Hugging Face.

Files get their names when they are whole.
"""

from __future__ import annotations

import csv
import io
import json
import os
import tarfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from reader.shardset import ShardSet
from shardio.errors import MissingExtraError
from shardio.format.label import Label

# Images of a tar, and of a row group.
_TAR_IMAGES = 10_000
_GROUP = 1_000
_IMAGES, TABLE = "images", "labels.csv"
_SPLIT = "split"


@dataclass(frozen=True)
class Exported:
    """A record: its number in the set, its split, its image as a PNG, row and labels by head."""

    number: int
    split: str
    png: bytes
    row: int
    labels: dict[str, Any]

    @property
    def name(self) -> str:
        """A name that sorts as records do, without an ending."""
        return f"{self.number:09d}"


class Writer(Protocol):
    """Writes records to a folder."""

    def add(self, record: Exported) -> None:
        """Write a record."""

    def close(self, *, whole: bool) -> None:
        """Give everything its name, or remove it where it is not whole."""


def split_column(labels: Sequence[Label]) -> str | None:
    """Return the column that says the split, beside labels; None where one of them is called so."""
    return None if any(label.name == _SPLIT for label in labels) else _SPLIT


def _is_single(labels: Sequence[Label]) -> bool:
    """Whether the only label is a class, which WebDataset has in a file of its own, too."""
    return len(labels) == 1 and labels[0].kind.is_class and labels[0].vocabulary is None


class ImageFiles:
    """images/000000000.png, ... and labels.csv, which comes last."""

    def __init__(self, folder: Path, shards: ShardSet) -> None:
        self._folder = folder
        self._stack = ExitStack()
        (folder / _IMAGES).mkdir()
        self._unfinished = folder / f".{TABLE}"
        file = self._unfinished.open("w", newline="", encoding="utf-8")
        self._table = csv.writer(self._stack.enter_context(file))
        names = [label.name for label in shards.labels]
        self._table.writerow(["path", "split", "row", *names])

    def add(self, record: Exported) -> None:
        """Write an image and its line."""
        path = f"{_IMAGES}/{record.name}.png"
        (self._folder / path).write_bytes(record.png)
        cells = [
            " ".join(map(str, label)) if isinstance(label, list) else label
            for label in record.labels.values()
        ]
        self._table.writerow([path, record.split, record.row, *cells])

    def close(self, *, whole: bool) -> None:
        """Give the table its name, or remove it."""
        self._stack.close()
        _end(self._unfinished, self._folder / TABLE, whole=whole)


class Tars:
    """SPLIT-000000.tar, ...: a sample is NAME.png and NAME.json with its split and all labels.

    One that is a class alone is in NAME.cls, too.
    """

    def __init__(self, folder: Path, shards: ShardSet) -> None:
        self._folder = folder
        self._is_single = _is_single(shards.labels)
        self._split_column = split_column(shards.labels)
        self._open: dict[str, tuple[tarfile.TarFile, Path, int]] = {}
        self._counts: dict[str, int] = {}

    def add(self, record: Exported) -> None:
        """Write a sample."""
        split = record.split
        if split in self._open and self._open[split][2] == _TAR_IMAGES:
            self._end(split, whole=True)
        if split not in self._open:
            number = self._counts[split] = self._counts.get(split, -1) + 1
            path = self._folder / f"{split}-{number:06d}.tar"
            unfinished = path.with_name(f".{path.name}")
            self._open[split] = tarfile.TarFile(unfinished, "w"), path, 0
        tar, path, count = self._open[split]
        self._open[split] = tar, path, count + 1
        members = {"png": record.png}
        if self._is_single:
            (label,) = record.labels.values()
            members["cls"] = str(label).encode()
        split_of = {self._split_column: split} if self._split_column else {}
        members["json"] = json.dumps({**split_of, **record.labels}, ensure_ascii=False).encode()
        for ending, data in members.items():
            member = tarfile.TarInfo(f"{record.name}.{ending}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))

    def close(self, *, whole: bool) -> None:
        """Give the last tars their names, or remove them."""
        for split in list(self._open):
            self._end(split, whole=whole)

    def _end(self, split: str, *, whole: bool) -> None:
        tar, path, _ = self._open.pop(split)
        tar.close()
        _end(path.with_name(f".{path.name}"), path, whole=whole)


class ParquetFiles:
    """SPLIT-00000-of-00001.parquet, with the images and the names of classes as Hugging Face has
    them.
    """

    def __init__(self, folder: Path, shards: ShardSet) -> None:
        try:
            import pyarrow as pa
            from pyarrow import parquet
        except ImportError as error:
            raise MissingExtraError(
                "Parquet needs pyarrow: it comes with shardio's extra [table]"
            ) from error
        self._folder = folder
        self._arrow, self._parquet = pa, parquet
        image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        columns = [("image", image), ("row", pa.int64())]
        # Hugging Face has splits in the names of files, which the converter does not read.
        self._split_column = split_column(shards.labels)
        if self._split_column:
            columns.append((self._split_column, pa.string()))
        features: dict[str, Any] = {"image": {"_type": "Image"}}
        for label in shards.labels:
            kind = pa.float32() if label.kind.is_float else pa.int32()
            if label.vocabulary is not None and label.kind.is_class:
                names = list(label.vocabulary)
                features[label.name] = {"_type": "ClassLabel", "names": names}
            if label.is_sequence:
                columns.append((label.name, pa.string()))
            else:
                columns.append((label.name, kind if label.kind.length == 1 else pa.list_(kind)))
        info = json.dumps({"info": {"features": features}}, ensure_ascii=False)
        self._schema = pa.schema(columns, metadata={"huggingface": info})
        self._classes = {
            label.name: {text: number for number, text in enumerate(label.vocabulary)}
            for label in shards.labels
            if label.vocabulary is not None and label.kind.is_class
        }
        self._writers: dict[str, Any] = {}
        self._rows: dict[str, list[dict[str, Any]]] = {}

    def add(self, record: Exported) -> None:
        """Take a record for a row group."""
        labels = {
            name: self._classes[name][value] if name in self._classes else value
            for name, value in record.labels.items()
        }
        image = {"bytes": record.png, "path": f"{record.name}.png"}
        rows = self._rows.setdefault(record.split, [])
        split_of = {self._split_column: record.split} if self._split_column else {}
        rows.append({"image": image, "row": record.row, **split_of, **labels})
        if len(rows) == _GROUP:
            self._write(record.split)

    def close(self, *, whole: bool) -> None:
        """Write the last row groups and give the files their names, or remove them."""
        for split in self._rows if whole else ():
            self._write(split)
        for split, writer in self._writers.items():
            writer.close()
            path = self._folder / f"{split}-00000-of-00001.parquet"
            _end(self._unfinished(split), path, whole=whole)

    def _write(self, split: str) -> None:
        if split not in self._writers:
            self._writers[split] = self._parquet.ParquetWriter(
                self._unfinished(split), self._schema
            )
        rows, self._rows[split] = self._rows[split], []
        if rows:
            self._writers[split].write_table(self._arrow.Table.from_pylist(rows, self._schema))

    def _unfinished(self, split: str) -> Path:
        return self._folder / f".{split}.parquet"


def _end(unfinished: Path, path: Path, *, whole: bool) -> None:
    if whole:
        os.replace(unfinished, path)
    else:
        unfinished.unlink(missing_ok=True)
