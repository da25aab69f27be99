"""The names of the files of a dataset, each spelled here and nowhere else.

A shard is named as TensorFlow Datasets names it: `train-00003-of-00016.tfrecord`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MANIFEST = "dataset.json"
REJECTS = "rejects.csv"
RECORDS = "records.parquet"
TIMES = "times.json"
# What stands beside the shards and dataset.json, and was written just before that.
BESIDE = (REJECTS, RECORDS, TIMES)
WORK_FOLDER = ".shardio"
PLAN = f"{WORK_FOLDER}/plan.json"
INPUTS = f"{WORK_FOLDER}/inputs.json"
METADATA = f"{WORK_FOLDER}/metadata.json"
DONE_FOLDER = f"{WORK_FOLDER}/done"
# The rows of shards that machines of a cluster make: a folder in it for each run.
ROWS_FOLDER = f"{WORK_FOLDER}/rows"
LOCK = f"{WORK_FOLDER}/lock"
# What is being copied into a folder.
STAGE = f"{WORK_FOLDER}/stage.json"
# What was copied, where that is not a whole dataset with its manifest.
STAGED = f"{WORK_FOLDER}/staged.json"
# The index of a shard, after the whole name of the shard.
INDEX_SUFFIX = ".idx"

SPLIT_PATTERN = "[A-Za-z][A-Za-z0-9_]*"
MAX_SHARDS = 99_999

_SHARD = re.compile(rf"({SPLIT_PATTERN})-([0-9]{{5}})-of-([0-9]{{5}})\.tfrecord")


@dataclass(frozen=True, order=True)
class ShardName:
    """A shard's split, 0-based index within the split and the split's number of shards.

    Sorts in the canonical order of shards: split, then index.
    """

    split: str
    index: int
    count: int

    def __str__(self) -> str:
        return f"{self.split}-{self.index:05d}-of-{self.count:05d}.tfrecord"

    @property
    def done_path(self) -> str:
        """Path of the shard's done-record, relative to the dataset's folder."""
        return f"{DONE_FOLDER}/{self}.json"

    @classmethod
    def parse(cls, name: str) -> ShardName | None:
        """Read a file name; None where it is not the name of a shard."""
        return cls.of(_SHARD.fullmatch(name))

    @classmethod
    def of(cls, match: re.Match[str] | None) -> ShardName | None:
        """Return the split, index and count that a name has; None for an index above the count."""
        found = None if match is None else cls(match[1], int(match[2]), int(match[3]))
        return found if found is not None and found.index < found.count else None
