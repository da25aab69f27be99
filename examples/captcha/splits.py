"""The shards to train on, and those to validate on. Nothing heavy is imported."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from reader import ShardSet, open_shards
from shardio.errors import DatasetError, OptionError, ShardioError
from shardio.format.naming import ShardName

TRAIN, VAL = "train", "val"
# One of so many is held out.
_PART = 10


class Splits(NamedTuple):
    """Two sets that share no record, and a line that says which they are."""

    train: ShardSet
    held_out: ShardSet
    line: str


def open_splits(place: str, cache: str | None = None) -> Splits:
    """Open a folder or a glob of shards.

    With a split `val` there, that is held out; without one the last tenth of the shards is, or of
    the records where there are few shards. With a split `train`, that alone is trained on, and
    `test` stays unseen. Raises ShardioError for what cannot be opened or has nothing to learn.
    """
    folder = place if Path(place).is_dir() or ".tfrecord" not in place else None
    found = open_shards(place, "*") if folder else open_shards(place)
    if not found.labels:
        raise OptionError(f"{place}: the shards have no labels to train on")
    if any(not label.kind.is_class or not label.classes for label in found.labels):
        raise OptionError(f"{place}: this example trains on labels of one class each")
    base = folder or found.shards[0].path.rpartition("/")[0]
    held_out = _split(base, VAL, cache)
    paths = [shard.path for shard in found.shards]
    if TRAIN in found.splits:
        paths = [path for path in paths if _split_of(path) == TRAIN]
    if held_out is None:
        count = len(paths) // _PART
        if count:
            parts: list[ShardSet] = [
                open_shards(part, cache=cache) for part in (paths[:-count], paths[-count:])
            ]
            which = f"the last {count} of {len(paths)} shards"
        else:
            whole = open_shards(paths, cache=cache)
            if len(whole) < 2:
                raise DatasetError(f"{place}: one record, and none is left to validate on")
            first = len(whole) - max(1, len(whole) // _PART)
            parts = [whole[:first], whole[first:]]
            which = f"the last {1 / _PART:.0%}"
        line = f"{len(parts[0]):,} images to train on, {len(parts[1]):,} held out ({which}"
        return Splits(parts[0], parts[1], f"{line}; there is no split val)")
    if set(found.splits) == {VAL}:
        raise OptionError(f"{place}: these are the shards of val, and there are none to train on")
    train = open_shards([path for path in paths if _split_of(path) != VAL], cache=cache)
    line = f"{len(train):,} images to train on, {len(held_out):,} of the split val to validate on"
    return Splits(train, held_out, line)


def _split_of(path: str) -> str:
    name = ShardName.parse(path.rpartition("/")[2])
    return "" if name is None else name.split


def _split(folder: str, split: str, cache: str | None) -> ShardSet | None:
    """Open a split of a folder; None where there is no such one."""
    try:
        everything = open_shards(folder, "*")
    except ShardioError:  # shards of another tool, or a part of a set
        return None
    if split not in everything.splits:
        return None
    found = open_shards(folder, split, cache=cache)
    if not len(found):
        raise DatasetError(f"{folder}: the split {split} is empty")
    return found
