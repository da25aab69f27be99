"""Images that are identical, or nearly: found by their hashes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reader.look.pixel_facts import bit_counts, luminance
from reader.look.records import Records

# Hashes of alike images differ in so many of 64 bits at most; one of so many parts and one more
# is then the same in both.
NEAR_BITS = 2
_PARTS = np.array_split(np.arange(64, dtype=np.uint64), NEAR_BITS + 1)
# Of pairs with near hashes those are alike whose luminance correlates so much.
LEAST_CORRELATION = 0.9
# Comparisons of pairs of hashes, pairs that are kept, and those whose pixels are compared.
_MOST_COMPARED = 200_000_000
_MOST_PAIRS = 1_000_000
_MOST_READ = 20_000
_ROW = 4096

Numbers = NDArray[np.int64]


@dataclass
class Groups:
    """Groups of records with the same pixels: the records of each, one group after the other.

    Group i is `records[starts[i] : starts[i] + sizes[i]]`, with numbers in order.
    """

    records: Numbers
    starts: Numbers
    sizes: Numbers

    @classmethod
    def none(cls) -> Groups:
        """Return no groups."""
        nothing = np.empty(0, dtype=np.int64)
        return cls(nothing, nothing, nothing)

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def too_many(self) -> int:
        """How many records are not the first of their group."""
        return int(self.sizes.sum()) - len(self)

    def largest(self, count: int) -> list[Numbers]:
        """Return the records of the largest groups."""
        ranked = np.lexsort((self.starts, -self.sizes))[:count].tolist()
        return [self.records[self.starts[i] : self.starts[i] + self.sizes[i]] for i in ranked]

    def varied(self, values: NDArray[Any]) -> int:
        """Count the groups in which a value, given for each record of the set, is not the same."""
        if not len(self):
            return 0
        of_records = values[self.records]
        least = np.minimum.reduceat(of_records, self.starts)
        return int((least != np.maximum.reduceat(of_records, self.starts)).sum())


def identical_groups(hashes: NDArray[np.uint64], numbers: Numbers) -> Groups:
    """Group the records `numbers`, in order, that share a hash; hashes of one record are no group.

    `hashes` has those of all records of the set.
    """
    order = numbers[np.argsort(hashes[numbers], kind="stable")]
    bounds = np.flatnonzero(np.diff(hashes[order])) + 1
    starts = np.concatenate([[0], bounds]).astype(np.int64)
    sizes = np.diff(np.concatenate([starts, [len(order)]]))
    kept = np.repeat(sizes > 1, sizes)
    sizes = sizes[sizes > 1]
    return Groups(order[kept], np.cumsum(sizes) - sizes, sizes)


@dataclass
class NearPairs:
    """Pairs of records whose hashes differ in few bits, (n, 2); those that are nearest first.

    `are_all` tells whether every pair was compared that could be one.
    """

    pairs: Numbers = field(default_factory=lambda: np.empty((0, 2), dtype=np.int64))
    are_all: bool = True


def near_pairs(hashes: NDArray[np.uint64], numbers: Numbers) -> NearPairs:
    """Find pairs among records `numbers` with difference hashes `hashes`, each pair once."""
    found: list[NDArray[np.int64]] = []
    budget, count, are_all = _MOST_COMPARED, 0, True
    for part in _PARTS:
        mask = np.bitwise_or.reduce(np.uint64(1) << part)
        keys = hashes & mask
        order = np.argsort(keys, kind="stable")
        bounds = np.concatenate(
            [[0], np.flatnonzero(np.diff(keys[order])) + 1, [len(keys)]]
        ).astype(np.int64)
        sizes = np.diff(bounds)
        # Small groups first: where many images are alike in a part, that says little.
        for at in np.argsort(sizes, kind="stable").tolist():
            size = int(sizes[at])
            if size < 2:
                continue
            if size * size > budget or count > _MOST_PAIRS:
                are_all = False
                break
            budget -= size * size
            pairs = _near_in(hashes, order[bounds[at] : bounds[at + 1]])
            count += sum(map(len, pairs))
            found += pairs
    if not found:
        return NearPairs(are_all=are_all)
    distinct = np.unique(np.sort(np.concatenate(found), axis=1), axis=0)
    distance = bit_counts(hashes[distinct[:, 0]] ^ hashes[distinct[:, 1]])
    return NearPairs(numbers[distinct[np.argsort(distance, kind="stable")]], are_all)


def confirmed(near: NearPairs, records: Records) -> NearPairs:
    """Read pairs, and keep those whose pixels are nearly the same but for brightness."""
    pairs = near.pairs[:_MOST_READ]
    kept = np.zeros(len(pairs), dtype=np.bool_)
    beside = max(1, records.piece // 2)
    for start in range(0, len(pairs), beside):
        images, _ = records.read(pairs[start : start + beside].reshape(-1))
        grey = luminance(images).reshape(len(images), -1).astype(np.float64)
        grey -= grey.mean(axis=1, keepdims=True)
        norms = np.linalg.norm(grey, axis=1)
        together = (grey[::2] * grey[1::2]).sum(axis=1)
        kept[start : start + beside] = together >= LEAST_CORRELATION * norms[::2] * norms[1::2]
    return NearPairs(pairs[kept], near.are_all and len(pairs) == len(near.pairs))


def _near_in(hashes: NDArray[np.uint64], group: Numbers) -> list[Numbers]:
    """Return the near pairs of a group."""
    found = []
    for start in range(0, len(group), _ROW):
        rows = group[start : start + _ROW]
        for later in range(start, len(group), _ROW):
            columns = group[later : later + _ROW]
            near = bit_counts(hashes[rows][:, None] ^ hashes[columns]) <= NEAR_BITS
            if later == start:
                near = np.triu(near, 1)
            first, second = np.nonzero(near)
            if len(first):
                found.append(np.stack([rows[first], columns[second]], axis=1))
    return found
