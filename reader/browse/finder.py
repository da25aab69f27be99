"""Records by what they are: the numbers of those that a query asks for, in its order."""

from __future__ import annotations

import unicodedata
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reader.browse.columns import Columns
from reader.browse.query import BRIGHT, DARK, RAREST, STORED, Query
from reader.browse.task import Task
from reader.look.label_counts import MOST_CLASSES
from reader.look.origins import Origins
from reader.look.where import class_of
from reader.sets.draws import class_label
from reader.shardset import ShardSet
from shardio.errors import OptionError
from shardio.format.label import Label
from shardio.format.layout import ROW
from shardio.format.naming import ShardName
from shardio.storage.paths import name_of

Ids = NDArray[np.int64]
Mask = NDArray[np.bool_]

# How long a page waits for what it needs before it says so.
_WAIT_SECONDS = 2.0
# What was found last is kept, some lists and so many bytes of them.
_KEPT, _KEPT_BYTES = 8, 1 << 26


class NotReadyError(Exception):
    """What a query needs is not there yet; `task` makes it."""

    def __init__(self, task: Task[Any]) -> None:
        super().__init__(task.what)
        self.task = task


@dataclass(frozen=True)
class Found:
    """Numbers of records in their order; `listed` is None for all `count` as they are stored."""

    count: int
    listed: NDArray[Any] | None = None

    def __len__(self) -> int:
        return self.count

    def ids(self, start: int, stop: int) -> Ids:
        """Return some of them."""
        if self.listed is None:
            return np.arange(start, min(stop, self.count), dtype=np.int64)
        return np.asarray(self.listed[start:stop], dtype=np.int64)


class Finder:
    """Finds records of a set, and keeps what it found last."""

    def __init__(self, shards: ShardSet, columns: Columns, origins: Origins) -> None:
        self._shards = shards
        self._columns = columns
        self._origins = origins
        self._kept: OrderedDict[Query, Found] = OrderedDict()
        self._turn = Lock()
        self._rarities: NDArray[np.unsignedinteger] | None = None
        counts = [shard.records for shard in shards.shards]
        self._ends = np.cumsum(counts, dtype=np.int64)
        self.names = [name_of(shard.path) for shard in shards.shards]
        parsed = [ShardName.parse(name) for name in self.names]
        self.splits = ["" if name is None else name.split for name in parsed]

    def find(self, query: Query) -> Found:
        """Return the records that a query asks for, whatever its page.

        Raises NotReadyError where something is still to be read, and OptionError for what no record
        can have.
        """
        query = replace(query, page=1)
        with self._turn:
            found = self._kept.pop(query, None)
            if found is None:
                found = self._find(query)
            self._kept[query] = found
            while len(self._kept) > 1 and (
                len(self._kept) > _KEPT
                or sum(x.listed.nbytes for x in self._kept.values() if x.listed is not None)
                > _KEPT_BYTES
            ):
                self._kept.popitem(last=False)
            return found

    def stop(self) -> None:
        """End what is being read."""
        self._columns.stop()

    def shard_of(self, number: int) -> tuple[int, int]:
        """Return the index of a record's shard, and its number there."""
        shard = int(np.searchsorted(self._ends, number, side="right"))
        return shard, number - int(self._ends[shard] - self._shards.shards[shard].records)

    def _find(self, query: Query) -> Found:
        count = len(self._shards)
        if query.are_all and query.sort == STORED:
            return Found(count)
        # As few bytes a record as its number takes.
        dtype = np.uint32 if count < 1 << 32 else np.int64
        if query.are_all:
            ids = np.arange(count, dtype=dtype)
        else:
            ids = np.flatnonzero(self._mask(query)).astype(dtype)
        if query.sort == RAREST:
            ids = ids[np.argsort(self._rarity()[ids], kind="stable")]
        elif query.sort in (DARK, BRIGHT):
            measured = self._ready(self._columns.brightness)[ids]
            ids = ids[np.argsort(measured if query.sort == DARK else -measured, kind="stable")]
        return Found(len(ids), ids)

    def _ready(self, task: Task[Any]) -> Any:
        found = task.result(_WAIT_SECONDS)
        if found is None:
            raise NotReadyError(task)
        return found

    def _labels(self) -> Mapping[str, NDArray[Any]]:
        found: Mapping[str, NDArray[Any]] = self._ready(self._columns.labels)
        return found

    def _mask(self, query: Query) -> Mask:
        mask = np.ones(len(self._shards), dtype=np.bool_)
        if query.split or query.shard:
            mask &= self._in_shards(query)
        if query.rows is not None:
            rows = self._labels()[ROW]
            mask &= (rows >= query.rows[0]) & (rows <= query.rows[1])
        for name, value in query.labels:
            label = class_label(name, self._shards.labels, "a filter")
            mask &= self._labels()[name] == class_of(value, label)
        if query.character:
            mask &= self._with_character(query.character)
        if query.text:
            mask &= self._with_text(query.text)
        return mask

    def _in_shards(self, query: Query) -> Mask:
        if query.shard and query.shard not in self.names:
            raise OptionError(f"the set has no shard {query.shard!r}")
        if query.split and query.split not in self.splits:
            raise OptionError(f"the set has no split {query.split!r}")
        kept = [
            query.shard in ("", name) and query.split in ("", split)
            for name, split in zip(self.names, self.splits, strict=True)
        ]
        return np.repeat(kept, [shard.records for shard in self._shards.shards])

    def _with_character(self, character: str) -> Mask:
        """Return the records with a text in some label of texts, or in a sequence."""
        mask = np.zeros(len(self._shards), dtype=np.bool_)
        known = False
        for label in self._shards.labels:
            if (number := label.number_of(character)) is not None:
                known = True
                mask |= _any(self._labels()[label.name] == number)
        if not known:
            raise OptionError(f"no label has the character or text {character!r}")
        return mask

    def _with_text(self, text: str) -> Mask:
        """Return the records with a text in their path, in a class, or in what classes spell."""
        mask = np.zeros(len(self._shards), dtype=np.bool_)
        # Labels are in NFC, and paths as they are: macOS writes them in NFD.
        text = unicodedata.normalize("NFC", text)
        for form in {text, unicodedata.normalize("NFD", text)}:
            mask[self._origins.records_with(form)] = True
        wanted = text.casefold()
        letters: list[Label] = []
        for label in self._shards.labels:
            words = label.vocabulary
            if words is None:
                continue
            if not label.kind.is_class:
                mask |= _spell(self._labels()[label.name], words, text)
                continue
            if all(len(word) <= 1 for word in words):
                letters.append(label)
            classes = [number for number, word in enumerate(words) if wanted in word.casefold()]
            if classes:
                chosen = np.zeros(len(words), dtype=np.bool_)
                chosen[classes] = True
                mask |= chosen[self._labels()[label.name]]
        if len(letters) > 1 and len(text) > 1 and letters[0].vocabulary is not None:
            spelled = np.stack([self._labels()[label.name] for label in letters], axis=1)
            mask |= _spell(spelled, letters[0].vocabulary, text)
        return mask

    def _rarity(self) -> NDArray[np.unsignedinteger]:
        """Return the rank of each record's rarest class by how often that comes, from 0."""
        if self._rarities is None:
            heads = [label for label in self._shards.labels if label.kind.is_class]
            if not heads:
                raise OptionError("no label has classes, of which some could be rare")
            of_heads = [_numbered(self._labels()[label.name]) for label in heads]
            counts = [np.bincount(values) for values in of_heads]
            distinct = np.unique(np.concatenate(counts))
            # Ranks of 16 bits are sorted in a tenth of the time of counts.
            dtype = np.uint16 if len(distinct) <= 1 << 16 else np.uint32
            ranks = [np.searchsorted(distinct, one).astype(dtype) for one in counts]
            least = ranks[0][of_heads[0]]
            for of_classes, values in zip(ranks[1:], of_heads[1:], strict=True):
                np.minimum(least, of_classes[values], out=least)
            self._rarities = least
        return self._rarities


def _numbered(values: NDArray[Any]) -> NDArray[Any]:
    """Return classes that are few enough to be counted in an array."""
    if int(values.max(initial=0)) < MOST_CLASSES:
        return values
    return np.asarray(np.unique(values, return_inverse=True)[1].reshape(-1))


def _any(mask: Mask) -> Mask:
    """Return which records have any of some values, (n,) or (n, length)."""
    return np.asarray(mask if mask.ndim == 1 else mask.any(axis=1))


def _spell(values: NDArray[Any], words: tuple[str, ...], text: str) -> Mask:
    """Return which records, of classes (n, length), have a text, character by character."""
    mask = np.zeros(len(values), dtype=np.bool_)
    numbers = {word: number for number, word in enumerate(words)}
    if any(character not in numbers for character in text):
        return mask
    for start in range(values.shape[1] - len(text) + 1):
        here = np.ones(len(values), dtype=np.bool_)
        for at, character in enumerate(text):
            here &= values[:, start + at] == numbers[character]
        mask |= here
    return mask
