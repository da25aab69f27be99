"""Records written as other tools have them: image files, WebDataset tars, Parquet of Hugging Face.

Images become PNG files with the pixels that the set has, in the set's own order. Files get their
names when they are whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from reader.batching.label_arrays import label_arrays
from reader.look.export_writers import (
    TABLE,
    Exported,
    ImageFiles,
    ParquetFiles,
    Tars,
    Writer,
    split_column,
)
from reader.look.records import Records
from reader.shardset import ShardSet
from shardio.errors import DatasetError, OutputError, ShardioError
from shardio.format.label import Label
from shardio.format.naming import ShardName
from shardio.format.sequences import sequences_of, without_lengths
from shardio.pictures.picture import stored_png
from shardio.storage.local_files import translate
from shardio.storage.paths import folder_of, name_of

Progress = Callable[[int], object]
# What the converter stores without --channels.
_RGB = 3


def export(shards: ShardSet, kind: str, folder: str, progress: Progress) -> None:
    """Write all records of a set to a folder that is new or empty.

    `progress` is told the number of records written. Raises OutputError where the folder holds
    something, StorageError where it cannot be written, and MissingExtraError where a package is
    missing.
    """
    place = Path(folder)
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise OutputError(f"{folder} is there and holds something; name a new folder")
    if not len(shards):
        raise DatasetError("there are no records to export: all shards are empty")
    try:
        _write(shards, kind, place, progress)
    except OSError as error:
        if isinstance(error, ShardioError):
            raise
        raise translate(error, folder) from error


def _write(shards: ShardSet, kind: str, place: Path, progress: Progress) -> None:
    place.mkdir(parents=True, exist_ok=True)
    make: dict[str, Callable[[Path, ShardSet], Writer]] = {
        "images": ImageFiles,
        "webdataset": Tars,
        "parquet": ParquetFiles,
    }
    writer = make[kind](place, shards)
    whole = False
    try:
        for record in _records(shards):
            writer.add(record)
            progress(1)
        whole = True
    finally:
        writer.close(whole=whole)


def command_back(shards: ShardSet, kind: str, folder: str) -> list[str]:
    """Return the arguments by which the converter takes an export back."""
    table = {"images": f"{folder}/{TABLE}", "webdataset": f"{folder}/*.tar"}
    words = [table.get(kind, f"{folder}/*.parquet"), "NEW_FOLDER"]
    # In a tar those are the names of something else.
    taken = ("path", "split", "key") if kind == "webdataset" else ()
    columns = {x.name: f"json.{x.name}" if x.name in taken else x.name for x in shards.labels}
    # A text brings its length with it.
    texts = sequences_of(shards.labels)
    classes = [x for x in without_lengths(shards.labels) if x.kind.is_class]
    words += _option("--labels", [columns[label.name] for label in classes])
    if (channels := shards.shape[2]) != _RGB:
        words += ["--channels", str(channels)]
    if kind == "webdataset" and (split := split_column(shards.labels)):
        words += ["--split-column", f"json.{split}"]
    floats = [columns[label.name] for label in shards.labels if label.kind.is_float]
    vectors = [x for x in shards.labels if not (x.kind.is_class or x.kind.is_float)]
    sequences = [f"{columns[x.name]}:{x.kind.length}" for x in vectors if x.name in texts]
    vectors = [label for label in vectors if label.name not in texts]
    counts = {label.classes for label in (*classes, *vectors)}
    words_of = {label.vocabulary for label in shards.labels if label.vocabulary is not None}
    if len(words_of) == 1:
        # So that the classes keep their numbers, of a part of the records too.
        words += ["--vocabulary-of", folder_of(shards.shards[0].path)]
    elif words_of:
        words += ["--text-labels"]
    elif len(counts) == 1 and 0 not in counts:
        # What is exported need not have all classes.
        words += ["--classes", str(counts.pop())]
    for option, names in (
        ("--float-labels", floats),
        ("--vector", [columns[label.name] for label in vectors]),
        ("--sequence", sequences),
    ):
        words += _option(option, names) if names else []
    return words


def _option(option: str, names: list[str]) -> list[str]:
    """Return the words of an option; what begins with a dash would be taken for another one."""
    value = ",".join(names)
    return [f"{option}={value}"] if value.startswith("-") else [option, value]


def _records(shards: ShardSet) -> Iterator[Exported]:
    names = [ShardName.parse(name_of(shard.path)) for shard in shards.shards]
    splits = ["train" if name is None else name.split for name in names]
    ends = np.cumsum([shard.records for shard in shards.shards], dtype=np.int64)
    records = Records(shards)
    number = 0
    try:
        for start in range(0, len(shards), records.piece):
            ids = shards.chosen.ids(np.arange(start, min(start + records.piece, len(shards))))
            images, numbers = records.read(ids)
            arrays = label_arrays(numbers, shards.labels)
            of_shards = np.searchsorted(ends, ids, side="right").tolist()
            for at, (image, shard) in enumerate(zip(images, of_shards, strict=True)):
                labels = {
                    label.name: _value(label, array[at])
                    for label, array in zip(shards.labels, arrays, strict=True)
                }
                row = int(numbers[at, -1])
                yield Exported(number, splits[shard], stored_png(image), row, labels)
                number += 1
    finally:
        records.close()


def _value(label: Label, value: Any) -> Any:
    """Return a label as a number, a text or a list of numbers."""
    if label.vocabulary is not None and label.kind.is_class:
        return label.vocabulary[int(value)]
    if label.vocabulary is not None and label.is_sequence:
        return "".join(label.vocabulary[number] for number in value.tolist())
    if label.kind.is_float:
        # The shortest decimals that give the same 32 bits.
        shortest = [float(str(np.float32(one))) for one in np.atleast_1d(value)]
        return shortest if label.kind.length > 1 else shortest[0]
    return value.tolist()
