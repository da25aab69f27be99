"""plan.json: everything that decides the bytes of a conversion, written before its first shard.

A restarted conversion goes on only where its own plan is the same. What does not change the bytes
(workers, engine, the limit of rejects) is not in it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from itertools import zip_longest
from typing import Any

from shardio.cached_property import cached_property
from shardio.errors import ManifestError
from shardio.format.fields import dump, load, parse, show
from shardio.format.label import Label
from shardio.format.manifest import FORMAT, VERSION, Manifest, Versions
from shardio.format.naming import PLAN
from shardio.format.transform import MAX_PIXELS, Transform

_NONE = object()


@dataclass(frozen=True)
class PlannedSplit:
    """The number of rows and of shards of a split."""

    split: str
    rows: int
    shards: int


@dataclass(frozen=True, kw_only=True)
class ConversionPlan:
    """All of plan.json. `table_sha256` is the digest of the input table's file."""

    table_sha256: str
    transform: Transform
    labels: tuple[Label, ...]
    splits: tuple[PlannedSplit, ...]
    seed: int
    versions: Versions
    encoding: str = "raw"
    strict_decode: bool = False
    max_pixels: int = MAX_PIXELS
    truncated: bool = False
    split_shares: str | None = None
    image_column: str | None = None
    # How many rows were left out, and the SHA-256 of their numbers.
    dropped: tuple[int, str] | None = None
    # How the table was read, where it did not tell by itself.
    reading: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def sha256(self) -> str:
        """Digest of plan.json; dataset.json keeps it."""
        return hashlib.sha256(self.to_json()).hexdigest()

    def to_json(self) -> bytes:
        """Return the bytes of plan.json."""
        column = {} if self.image_column is None else {"image_column": self.image_column}
        return dump(
            {
                "format": FORMAT,
                "version": VERSION,
                "table_sha256": self.table_sha256,
                **column,
                **({"reading": self.reading} if self.reading else {}),
                **self._dropped(),
                "transform": self.transform.to_json(),
                "encoding": self.encoding,
                "strict_decode": self.strict_decode,
                **self._accepted(),
                "labels": [label.to_json() for label in self.labels],
                "split_shares": self.split_shares,
                "splits": [asdict(split) for split in self.splits],
                "seed": self.seed,
                "versions": asdict(self.versions),
            }
        )

    def _dropped(self) -> dict[str, Any]:
        """Return which rows were left out."""
        if self.dropped is None:
            return {}
        rows, digest = self.dropped
        return {"dropped": {"rows": rows, "sha256": digest}}

    def _accepted(self) -> dict[str, Any]:
        """Return what is accepted beside the usual."""
        accepted: dict[str, Any] = {}
        if self.max_pixels != MAX_PIXELS:
            accepted["max_pixels"] = self.max_pixels
        if self.truncated:
            accepted["truncated"] = "accept"
        return accepted

    def differences(self, text: bytes, name: str = PLAN) -> list[str]:
        """Name each field in which the plan in `text` is another one than this."""
        if text == self.to_json():
            return []
        theirs, ours = parse(text, name), parse(self.to_json(), name)
        return _differences("", theirs, ours)

    def differences_from(self, manifest: Manifest) -> list[str]:
        """Name each field in which a finished set has another plan than this, with both values.

        dataset.json does not hold all of a plan, but its digest; so the rest can only be tried.
        """
        counts = Counter(entry.split for entry in manifest.shards)
        splits = self.splits
        if counts.keys() == {split.split for split in splits}:
            splits = tuple(replace(split, shards=counts[split.split]) for split in splits)
        theirs = replace(
            self,
            transform=manifest.transform,
            labels=manifest.labels,
            splits=splits,
            seed=manifest.seed,
            versions=manifest.versions,
            encoding=manifest.encoding,
        )
        for strict in (self.strict_decode, not self.strict_decode):
            for dropped in dict.fromkeys((self.dropped, None)):
                tried = replace(theirs, strict_decode=strict, dropped=dropped)
                if tried.sha256 == manifest.plan_sha256:
                    return self.differences(tried.to_json())
        rows = sum(split.rows for split in self.splits)
        return [
            *self.differences(theirs.to_json()),
            "the table (or its splits, image_column, how it is read, or --drop) was another one"
            + (f", of {manifest.rows_read:,} rows" if manifest.rows_read != rows else ""),
        ]


def transform_in(text: bytes) -> Transform | None:
    """Return the transform in a plan.json or dataset.json; None where none there is sound."""
    try:
        top, problems = load(text, PLAN)
    except ManifestError:
        return None
    found = Transform.from_fields(top.child("transform"), problems)
    return None if problems else found


def _differences(where: str, theirs: Any, ours: Any) -> list[str]:
    """Describe what differs, each with its path; a list of anything but objects is one value."""
    pairs: list[tuple[str, Any, Any]]
    if isinstance(theirs, dict) and isinstance(ours, dict):
        pairs = [
            (f"{where}.{key}" if where else key, theirs.get(key, _NONE), ours.get(key, _NONE))
            for key in {**ours, **theirs}
        ]
    elif _is_objects(theirs) and _is_objects(ours):
        pairs = [
            (f"{where}[{index}]", *both)
            for index, both in enumerate(zip_longest(theirs, ours, fillvalue=_NONE))
        ]
    elif theirs == ours and type(theirs) is type(ours):
        return []
    else:
        return [f"{where or 'the plan'} was {_show(theirs)}, now it is {_show(ours)}"]
    return [line for pair in pairs for line in _differences(*pair)]


def _is_objects(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


def _show(value: Any) -> str:
    return "not there" if value is _NONE else show(value, 200)
