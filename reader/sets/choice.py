"""Which records of an opened set a smaller one holds, and in which sequence."""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reader.order.chosen_window import ChosenBlocks
from reader.sets.kept_array import KeptArray, keep_array
from shardio.errors import OptionError
from shardio.grammar import counted

Ids = NDArray[np.int64]
# Ids that are looked at at once: 8 MB of them.
PIECE = 1 << 20


@dataclass(frozen=True)
class RangeChoice:
    """The records `start`, `start + step`, ...: `count` of them. The step may be negative."""

    start: int
    count: int
    step: int

    def __len__(self) -> int:
        return self.count

    @property
    def digest(self) -> str:
        """What tells it from other choices."""
        return f"{self.start}+{self.step}*{self.count}"

    def ids(self, numbers: Ids) -> Ids:
        """Return the records of the set that was opened, by their numbers in this one."""
        return self.start + self.step * numbers

    def sliced(self, part: range) -> RangeChoice:
        """Return a part of it."""
        return RangeChoice(self.start + self.step * part.start, len(part), self.step * part.step)

    def blocks(self, block: int) -> ChosenBlocks:
        """Return the stored blocks of `block` records that hold some of its records."""
        if self.step < 0:
            return self.sliced(range(self.count - 1, -1, -1)).blocks(block)
        return ChosenBlocks.of_range(self.start, self.count, self.step, block, self.ids)


@dataclass(frozen=True)
class ListChoice:
    """The records that an array lists, int64; a large one is a file that is mapped."""

    kept: KeptArray

    def __len__(self) -> int:
        return len(self.kept.array)

    @property
    def digest(self) -> str:
        """What tells it from other choices."""
        return self.kept.digest

    def ids(self, numbers: Ids) -> Ids:
        """Return the records of the set that was opened, by their numbers in this one."""
        return np.asarray(self.kept.array[numbers], dtype=np.int64)

    def sliced(self, part: range) -> Choice:
        """Return a part of it."""
        where = slice(part.start, part.stop if part.stop >= 0 else None, part.step)
        return listed(lambda: _pieces_of(self.kept.array[where]))

    def blocks(self, block: int) -> ChosenBlocks:
        """Return the stored blocks of `block` records that hold some of its records."""

        def fill(array: Ids) -> None:
            array[:] = self.kept.array
            array.sort()

        name = f"in order {self.digest}"
        in_order = keep_array(name, self.kept.array.shape, np.int64, fill).array
        return ChosenBlocks.of_list(
            _pieces_of(in_order), block, lambda places: np.asarray(in_order[places])
        )


Choice = RangeChoice | ListChoice


def whole(records: int) -> RangeChoice:
    """Return the choice of all records."""
    return RangeChoice(0, records, 1)


def listed(pieces: Callable[[], Iterable[Ids]]) -> Choice:
    """Return the choice of the ids that `pieces` yields; a list that is a range becomes one.

    It is called once more where it is none, and yields the same.
    """
    digest, count = hashlib.sha256(), 0
    first = last = step = None
    is_range = True
    for piece in pieces():
        if not len(piece):
            continue
        digest.update(np.ascontiguousarray(piece, dtype="<i8").data)
        if first is None:
            first = int(piece[0])
            step = int(piece[1]) - first if len(piece) > 1 else None
        elif step is None:
            step = int(piece[0]) - first
        if is_range and step is not None:
            before = piece[:0] if last is None else np.array([last])
            is_range = bool((np.diff(np.concatenate([before, piece])) == step).all())
        count, last = count + len(piece), int(piece[-1])
    if first is None:
        return RangeChoice(0, 0, 1)
    if is_range:
        return RangeChoice(first, count, step or 1)

    def fill(array: Ids) -> None:
        at = 0
        for piece in pieces():
            array[at : at + len(piece)] = piece
            at += len(piece)

    return ListChoice(keep_array(f"records {digest.hexdigest()}", (count,), np.int64, fill))


def chosen(choice: Choice, index: Any) -> Choice:
    """Return the part of a choice that `index` names: a slice, numbers or a mask, as in NumPy.

    Raises IndexError for numbers that there are not, and OptionError for what is no index, a mask
    of another length, and a number that comes twice: weights= lets records come more often.
    """
    if isinstance(index, slice):
        part = range(len(choice))[index]
        return choice.sliced(part) if part else RangeChoice(0, 0, 1)
    if isinstance(index, range):
        index = np.arange(index.start, index.stop, index.step)
    try:
        array = np.asarray(index)
    except ValueError as error:
        raise OptionError(f"records are chosen by a list of numbers or a mask: {error}") from error
    if array.ndim != 1:
        raise OptionError(
            "records are chosen by a slice, or by a list of numbers or a mask of one dimension, "
            f"not by {type(index).__name__} of shape {array.shape}"
        )
    if array.dtype == np.bool_:
        if len(array) != len(choice):
            raise OptionError(
                f"the mask has {counted(len(array), 'value')}, and the set "
                f"{counted(len(choice), 'record')}"
            )
        return listed(lambda: _masked(choice, array))
    if array.size and array.dtype.kind not in "iu":
        raise OptionError(f"records are chosen by whole numbers or a mask, not by {array.dtype}")
    if array.dtype == np.uint64 and array.size and int(array.max()) >= 2**63:
        raise IndexError(f"record {int(array.max())} of {len(choice)}")
    numbers = array.astype(np.int64)
    wrong = (numbers < -len(choice)) | (numbers >= len(choice))
    if wrong.any():
        raise IndexError(f"record {int(numbers[wrong][0])} of {len(choice)}")
    numbers = np.where(numbers < 0, numbers + len(choice), numbers)
    ordered = np.sort(numbers)
    twice = ordered[1:][np.diff(ordered) == 0]
    if len(twice):
        raise OptionError(
            f"record {int(twice[0])} is chosen twice; a set holds each record once, and weights= "
            "lets some come more often"
        )
    return listed(lambda: (choice.ids(piece) for piece in _pieces_of(numbers)))


def _masked(choice: Choice, mask: NDArray[np.bool_]) -> Iterable[Ids]:
    for at in range(0, len(mask), PIECE):
        numbers = np.flatnonzero(mask[at : at + PIECE]).astype(np.int64) + at
        if len(numbers):
            yield choice.ids(numbers)


def _pieces_of(array: NDArray[Any]) -> Iterable[Ids]:
    for at in range(0, len(array), PIECE):
        yield np.asarray(array[at : at + PIECE], dtype=np.int64)


def number_of(index: Any) -> int | None:
    """Return an index that names one record as a number, None for others."""
    if isinstance(index, bool | np.bool_):
        raise OptionError("a record is chosen by a number, and not by True or False")
    try:
        return operator.index(index)
    except TypeError:
        return None
