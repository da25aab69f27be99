"""The done-record of a shard: what a finished shard is, kept until the manifest takes it over.

It is published before its shard. A shard is done when both are there and the sizes agree.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from shardio.format.fields import dump, load, refuse
from shardio.format.times import Times

# Why a row has no record that nothing is wrong with.
LEFT_OUT = "left out by --drop"
COUNTS = ("one_colour", "transparent", "turned", "grey", "enlarged", "truncated", "several")


@dataclass(frozen=True)
class Reject:
    """A row of the table that has no record: its 0-based number, its path and why."""

    row: int
    path: str
    reason: str


def unusable(rejects: Iterable[Reject]) -> list[Reject]:
    """Return the rejects whose images could not be used: not those that were left out."""
    return [reject for reject in rejects if reject.reason != LEFT_OUT]


@dataclass(frozen=True)
class DoneRecord:
    """All of a done-record.

    What follows the rejects counts records of a single colour, and those of images whose
    transparent parts lost their alpha, that EXIF says are turned, that are grey, became more than
    twice as large, lack their end, or stand in a file with several images; `sizes` are those of the
    images, the commonest first, a thousand at most. `seconds` is the work until all records were
    written. None where nothing was counted.
    """

    file: str
    records: int
    bytes: int
    sha256: str
    first_crc: int | None
    last_crc: int | None
    rejects: tuple[Reject, ...]
    one_colour: int | None = None
    transparent: int | None = None
    turned: int | None = None
    grey: int | None = None
    enlarged: int | None = None
    truncated: int | None = None
    several: int | None = None
    sizes: tuple[str, ...] | None = None
    seconds: Times | None = None

    def to_json(self) -> builtins.bytes:
        """Return the bytes of the done-record."""
        fields = asdict(self)
        for name in (*COUNTS, "sizes", "seconds"):
            if fields[name] is None:
                del fields[name]
        return dump(fields)

    @classmethod
    def from_json(cls, text: builtins.bytes, name: str) -> DoneRecord:
        """Parse a done-record; `name` stands in the error, which lists all problems."""
        top, problems = load(text, name)
        file = top.text("file")
        records = top.integer("records")
        size = top.integer("bytes")
        sha256 = top.digest("sha256")
        first_crc = top.optional_crc("first_crc")
        last_crc = top.optional_crc("last_crc")
        rejects: list[Reject] = []
        for fields in top.children("rejects"):
            row, path, reason = fields.integer("row"), fields.text("path"), fields.text("reason")
            rejects.append(Reject(row, path, reason))
            fields.close()
        counts: dict[str, Any] = {name: top.optional_integer(name, 0, records) for name in COUNTS}
        sizes = top.optional_texts("sizes") if top.has("sizes") else None
        seconds = Times.from_fields(top.child("seconds")) if top.has("seconds") else None
        top.close()
        refuse(problems, name)
        counts |= {"sizes": sizes, "seconds": seconds}
        return cls(file, records, size, sha256, first_crc, last_crc, tuple(rejects), **counts)
