"""Names of shards as TensorFlow Datasets gives them: `mnist-train.tfrecord-00000-of-00001`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from shardio.format.naming import SPLIT_PATTERN

_NAME = re.compile(rf"(?:.*-)?({SPLIT_PATTERN})\.[a-z]+-([0-9]{{5}})-of-([0-9]{{5}})")


@dataclass(frozen=True, order=True)
class TfdsName:
    """A shard's split, 0-based index and the split's number of shards."""

    split: str
    index: int
    count: int

    @classmethod
    def parse(cls, name: str) -> TfdsName | None:
        """Read a file name; None where it is not the name of such a shard."""
        match = _NAME.fullmatch(name)
        if match is None:
            return None
        split, index, count = match[1], int(match[2]), int(match[3])
        return cls(split, index, count) if index < count else None
