"""A survey of a set: one pass over all of its records, and what was seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from reader.look.alike import Groups, NearPairs, confirmed, identical_groups, near_pairs
from reader.look.label_counts import FloatRange, LabelCounts
from reader.look.pixel_facts import (
    brightness_and_contrast,
    difference_hashes,
    exact_hashes,
    have_one_colour,
    luminance,
    quick_hashes,
)
from reader.look.records import Records, spread
from reader.shardset import ShardSet
from shardio.format.label import columns_of
from shardio.format.naming import ShardName
from shardio.format.sequences import sequences_of
from shardio.storage.paths import name_of

# Of larger sets the statistics of pixels come from a sample of so many records.
SAMPLED = 20_000
# Of larger sets only identical images are looked for.
MOST_COMPARED = 100_000
# Heads of a set with more that a page shows.
MOST_HEADS = 64
# The one split of shards that are not named as shards are.
ALL = "all"


@dataclass
class Survey:
    """What was seen of a set.

    `brightness` and `contrast` are mean and standard deviation of the luminance (0 to 255) of the
    records `sampled`. `split_of` is the index of each shard's split in `splits`. `identical` are
    groups of records with the same pixels; those of one colour are `blank` and in no group.
    `differing` and `crossing` count groups with several labels, and in several splits. `near` is
    None where the set is too large.
    """

    shards: ShardSet
    splits: list[str]
    split_of: NDArray[np.int64]
    classes: dict[str, LabelCounts] = field(default_factory=dict)
    floats: dict[str, FloatRange] = field(default_factory=dict)
    blank: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    sampled: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    brightness: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, dtype=np.float32))
    contrast: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, dtype=np.float32))
    identical: Groups = field(default_factory=Groups.none)
    differing: int = 0
    crossing: int = 0
    near: NearPairs | None = None

    @property
    def shown_classes(self) -> dict[str, LabelCounts]:
        """The heads of integers that a page shows, by name; lengths of texts are not classes."""
        lengths = set(sequences_of(self.shards.labels).values())
        shown = [(name, head) for name, head in self.classes.items() if name not in lengths]
        return dict(shown[:MOST_HEADS])

    @property
    def is_sampled(self) -> bool:
        """Whether the statistics of pixels are those of a sample."""
        return len(self.sampled) < len(self.shards)

    def splits_of(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the index of each record's split."""
        ends = np.cumsum([shard.records for shard in self.shards.shards])
        return self.split_of[np.searchsorted(ends, ids, side="right")]


def survey(
    shards: ShardSet, progress: Callable[[int], object], *, sampled: int = SAMPLED
) -> Survey:
    """Read all records of a set once, and those again that may be identical.

    `progress` is told how many were read. Memory grows by some 50 bytes a record, and by 16 for a
    class and split.
    Raises CorruptRecordError for a damaged record.
    """
    splits, split_of = _splits(shards)
    found = Survey(shards, splits, split_of)
    for label in shards.labels:
        if label.kind.is_float:
            found.floats[label.name] = FloatRange(label)
        else:
            found.classes[label.name] = LabelCounts(label, len(splits))
    total = len(shards)
    found.sampled = spread(total, sampled, seed=0)
    hashes, labels = np.empty(total, dtype=np.uint64), np.empty(total, dtype=np.uint64)
    compares = total <= MOST_COMPARED
    near_hashes = np.empty(total if compares else 0, dtype=np.uint64)
    columns = dict(
        zip(
            [label.name for label in shards.labels],
            columns_of([label.kind for label in shards.labels]),
            strict=True,
        )
    )
    blank: list[NDArray[np.int64]] = []
    bright, contrast = [], []
    records = Records(shards)
    try:
        for ids, images, numbers in records.pieces(np.arange(total, dtype=np.int64)):
            of_split = found.splits_of(ids)
            for name, counts in found.classes.items():
                counts.add(ids, of_split, numbers[:, columns[name]])
            for name, floats in found.floats.items():
                floats.add(numbers[:, columns[name]])
            blank.append(ids[have_one_colour(images)])
            hashes[ids], labels[ids] = quick_hashes(images), _label_hashes(numbers)
            first, last = np.searchsorted(found.sampled, [ids[0], ids[-1] + 1])
            here = found.sampled[first:last] - ids[0]
            if compares:
                near_hashes[ids] = difference_hashes(images)
            means, deviations = brightness_and_contrast(luminance(images[here]))
            bright.append(means)
            contrast.append(deviations)
            progress(len(ids))
        found.brightness, found.contrast = np.concatenate(bright), np.concatenate(contrast)
        found.blank = np.concatenate(blank)
        others = np.ones(total, dtype=np.bool_)
        others[found.blank] = False
        kept = np.flatnonzero(others)
        # Images that may be identical are read again: what decides is SHA-256.
        maybe = np.sort(identical_groups(hashes, kept).records)
        for ids, images, _ in records.pieces(maybe):
            hashes[ids] = exact_hashes(images)
        found.identical = identical_groups(hashes, maybe)
        found.differing = found.identical.varied(labels)
        found.crossing = found.identical.varied(found.splits_of(np.arange(total)))
        if compares:
            # Of identical images one stands for all.
            _, first = np.unique(hashes[kept], return_index=True)
            distinct = np.sort(kept[first])
            found.near = confirmed(near_pairs(near_hashes[distinct], distinct), records)
    finally:
        records.close()
    return found


def _label_hashes(numbers: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return 64 bits that say which labels records have, from their numbers."""
    rng = np.random.default_rng(0)
    weights = rng.integers(0, 2**64, numbers.shape[1] - 1, dtype=np.uint64) | np.uint64(1)
    return np.asarray((numbers[:, :-1].astype(np.uint64) * weights).sum(axis=1, dtype=np.uint64))


def _splits(shards: ShardSet) -> tuple[list[str], NDArray[np.int64]]:
    """Return the names of the splits, and the index of each shard's."""
    names = [ShardName.parse(name_of(shard.path)) for shard in shards.shards]
    splits = [ALL if name is None else name.split for name in names]
    distinct = list(dict.fromkeys(splits))
    return distinct, np.array([distinct.index(split) for split in splits], dtype=np.int64)
