"""plan.json: everything that decides the bytes of a conversion, written before its first shard.

A restarted conversion goes on only where its own plan is the same. What does not change the bytes
(workers, engine, the limit of rejects) is not in it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from shardio.format.fields import dump, load, refuse
from shardio.format.manifest import FORMAT, VERSION, Label, Versions
from shardio.format.naming import PLAN
from shardio.format.transform import Transform


@dataclass(frozen=True)
class PlannedSplit:
    """The number of rows and of shards of a split."""

    split: str
    rows: int
    shards: int


@dataclass(frozen=True)
class ConversionPlan:
    """All of plan.json. `table_sha256` is the digest of the input table's file."""

    table_sha256: str
    transform: Transform
    labels: tuple[Label, ...]
    splits: tuple[PlannedSplit, ...]
    seed: int
    versions: Versions
    encoding: str = "raw"
    strict_decode: bool = True

    @cached_property
    def sha256(self) -> str:
        """Digest of plan.json; dataset.json keeps it."""
        return hashlib.sha256(self.to_json()).hexdigest()

    def to_json(self) -> bytes:
        """Return the bytes of plan.json."""
        return dump(
            {
                "format": FORMAT,
                "version": VERSION,
                "table_sha256": self.table_sha256,
                "transform": self.transform.to_json(),
                "encoding": self.encoding,
                "strict_decode": self.strict_decode,
                "labels": [asdict(label) for label in self.labels],
                "splits": [asdict(split) for split in self.splits],
                "seed": self.seed,
                "versions": asdict(self.versions),
            }
        )

    def differences(self, text: bytes, name: str = PLAN) -> list[str]:
        """Name each field in which the plan in `text` is another one than this."""
        if text == self.to_json():
            return []
        top, problems = load(text, name)
        refuse(problems, name)
        theirs: dict[str, Any] = dict(_flat("", json.loads(text)))
        ours = dict(_flat("", json.loads(self.to_json())))
        del top
        return [
            f"{key} was {theirs.get(key, 'not there')}, now it is {ours.get(key, 'not there')}"
            for key in [*ours, *(key for key in theirs if key not in ours)]
            if theirs.get(key) != ours.get(key)
        ]


def _flat(where: str, value: Any) -> list[tuple[str, str]]:
    """List the leaves of nested objects with their path; a list is one leaf."""
    if isinstance(value, dict):
        return [
            leaf
            for key, child in value.items()
            for leaf in _flat(f"{where}.{key}" if where else key, child)
        ]
    shown = json.dumps(value, ensure_ascii=False)
    return [(where, shown if len(shown) <= 200 else f"{shown[:197]}...")]
