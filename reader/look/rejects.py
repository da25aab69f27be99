"""The rejects of a conversion: which rows of the table have no record, and why."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from dataclasses import dataclass, field

from reader.shardset import ShardSet
from shardio.errors import StorageError
from shardio.format.naming import REJECTS
from shardio.storage import storage_for
from shardio.storage.paths import folder_of, join

_MOST_BYTES = 1 << 26


@dataclass
class Rejects:
    """The rejects of a set.

    `rows` are row, path and reason of each; `reasons` counts those that differ in numbers only, the
    commonest first, each with an example. `why_not` says why nothing is known.
    """

    rows: list[tuple[str, str, str]] = field(default_factory=list)
    reasons: list[tuple[str, int, str]] = field(default_factory=list)
    why_not: str = ""


def read_rejects(shards: ShardSet) -> Rejects:
    """Read rejects.csv beside the shards."""
    if shards.manifest is None:
        return Rejects(why_not="there is no dataset.json, and so no list of rejects")
    if not shards.manifest.rows_rejected:
        return Rejects()
    path = join(folder_of(shards.shards[0].path), REJECTS)
    try:
        text = storage_for(path).read_file(path, _MOST_BYTES).decode("utf-8", "backslashreplace")
        rows = [
            (line["row"], line["path"], line["reason"])
            for line in csv.DictReader(io.StringIO(text))
        ]
    except (StorageError, csv.Error, KeyError) as error:
        return Rejects(why_not=f"{REJECTS} cannot be read: {error}")
    kinds = [re.sub(r"\d+", "N", reason or "") for _, _, reason in rows]
    examples: dict[str, str] = {}
    for kind, (_, path, reason) in zip(kinds, rows, strict=True):
        examples.setdefault(kind, f"{path}: {reason}")
    reasons = [(kind, count, examples[kind]) for kind, count in Counter(kinds).most_common()]
    return Rejects(rows, reasons)
