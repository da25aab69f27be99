"""Whether the rows of a dataset stand in the order that its seed names."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reader.files.shard import ShardFile
from shardio.format.manifest import Manifest
from shardio.format.naming import MANIFEST, ShardName
from shardio.permutation import Permutation

Rows = NDArray[np.int64]
# The rows of so many records are kept, 8 bytes each, where a set has several splits.
_MOST_KEPT = 1 << 24


@dataclass
class _Span:
    """The places, in the order of a split, of the records of a shard that were seen so far."""

    first: int
    last: int
    in_order: bool = True


class StoredOrder:
    """Compares the rows of shards with the seed: they come as the permutation of their split.

    Of one split the place of a row is known from the row alone. With several, a row's place among
    those of its split takes all of them: where images were rejected, the set is not read `whole`,
    or more records are there than are kept, the order is not compared.
    """

    def __init__(self, manifest: Manifest, *, whole: bool) -> None:
        self._manifest = manifest
        splits = {entry.split for entry in manifest.shards}
        self._single = len(splits) == 1
        few = manifest.rows_written <= _MOST_KEPT
        self._keeps = whole and few and not self._single and not manifest.rows_rejected
        self._spans: dict[str, _Span] = {}
        self._rows: defaultdict[str, list[Rows]] = defaultdict(list)

    def add(self, shard: ShardFile, rows: Rows) -> None:
        """Take the rows of the next records of a shard; shards may come from several threads."""
        if shard.entry is None or not len(rows):
            return
        if self._keeps:
            self._rows[shard.entry.file].append(rows)
        elif self._single:
            self._add(shard.entry.file, shard.entry.split, rows, self._manifest.rows_read)

    def _add(self, file: str, split: str, places: Rows, count: int) -> None:
        """Take the next rows of a shard as numbers in their split of `count` rows."""
        if int(places.min()) < 0 or int(places.max()) >= count:
            self._spans[file] = _Span(0, 0, in_order=False)
            return
        at = Permutation(count, self._manifest.seed, f"split {split}").inverse(places)
        span = self._spans.setdefault(file, _Span(int(at[0]), int(at[0]) - 1))
        rising = bool((np.diff(at, prepend=span.last) > 0).all())
        span.in_order, span.last = span.in_order and rising, int(at[-1])

    def problems(self, *, all_read: bool) -> list[tuple[str, str]]:
        """Return the shards whose rows come in another order, and what to say of each.

        `all_read` tells that no record of them was left out.
        """
        if not (all_read or self._single):
            return []
        for split, files in self._files().items():
            kept = {file: np.concatenate(self._rows[file]) for file in files if file in self._rows}
            rows = np.sort(np.concatenate(list(kept.values()))) if kept else np.empty(0, np.int64)
            for file, of_shard in kept.items():
                self._add(file, split, np.searchsorted(rows, of_shard), len(rows))
        found = []
        for files in self._files().values():
            behind = -1
            for file in files:
                span = self._spans.get(file)
                if span is not None and not (span.in_order and span.first > behind):
                    found.append(
                        (
                            file,
                            f"{file}: its rows are not in the order of seed {self._manifest.seed}, "
                            f"which {MANIFEST} names: the seed, the number of rows or the name of "
                            "the split is not that of its conversion",
                        )
                    )
                elif span is not None:
                    behind = span.last
        return found

    def _files(self) -> dict[str, list[str]]:
        """Return the shards of each split in their order."""
        files: defaultdict[str, list[str]] = defaultdict(list)
        for entry in self._manifest.shards:
            files[entry.split].append(entry.file)
        return {split: sorted(names, key=_index) for split, names in files.items()}


def _index(file: str) -> int:
    name = ShardName.parse(file)
    return 0 if name is None else name.index
