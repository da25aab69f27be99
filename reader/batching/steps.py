"""The steps of a stream: where it is among them, and which records each takes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reader.batching.options import BatchOptions
from reader.dataset import Dataset
from reader.order.chosen_window import ChosenWindowOrder
from reader.order.draw import drawn_order
from reader.order.exact import Order, plain_order
from reader.order.mixed import MemberOrder, MixedOrder, MixStart
from reader.order.window import WindowOrder
from reader.sets.choice import Choice
from shardio.errors import OptionError

# More steps than this are computed again: each takes some 300 bytes, and its records.
_MOST_KNOWN = 2048

Ids = NDArray[np.int64]
StepOrder = Order | WindowOrder | MixedOrder


class Place(NamedTuple):
    """The next sample of a stream; `first` is the first epoch of the pass that it belongs to.

    `begun` is False after the end of a pass, until `iter` begins this one.
    """

    first: int
    epoch: int
    samples: int
    begun: bool = True

    @classmethod
    def of(cls, options: BatchOptions, epoch: int, samples: int) -> Place:
        """Return the place of a sample; without an end all epochs are of one pass."""
        first = options.start_epoch
        if options.epochs is not None:
            first += (epoch - first) // options.epochs * options.epochs
        return cls(first, epoch, samples)

    def steps(self, options: BatchOptions, records: int) -> Iterator[tuple[int, int]]:
        """Yield epoch and position of every step that is left of the pass."""
        epoch, start, size = self.epoch, self.samples, options.step_size
        while options.epochs is None or epoch < self.first + options.epochs:
            left = records - start
            rest = options.pad or not options.drop_remainder
            if left >= size or (left > 0 and rest):
                yield epoch, start
                start += min(size, left)
            else:
                epoch, start = epoch + 1, 0

    def ends_pass(self, options: BatchOptions, records: int) -> bool:
        """Whether no step is left of the pass."""
        return next(self.steps(options, records), None) is None

    def next_pass(self, options: BatchOptions) -> Place:
        """Return where the pass after this one begins."""
        first = self.first + (options.epochs or 0)
        return Place(first, first, 0)


def start_step_of(start_step: Any, options: BatchOptions) -> int:
    """Return the step that an endless pass begins with, from 0; raises OptionError for no step."""
    if isinstance(start_step, bool) or not isinstance(start_step, Integral) or start_step < 0:
        raise OptionError(f"start_step must be a whole number, at least 0, not {start_step!r}")
    if start_step and options.epochs is not None:
        raise OptionError(
            "start_step needs epochs=None: Keras takes the length of a shorter first epoch for "
            "that of all. reader.resume.fit does the rest"
        )
    return int(start_step)


class Steps:
    """Tells the records of any step, and remembers those that were asked for ahead.

    `count` is the number of steps of an epoch, which has `positions`, and `size` that of positions
    in each. With the order `window`, `options` say all of it: block, window and lanes. `start` is
    where a mix began.
    """

    def __init__(self, options: BatchOptions, shards: Dataset, start: MixStart | None) -> None:
        self.positions = options.positions(shards)
        self.count = options.steps(self.positions)
        self.size = options.step_size
        self._options = options
        self._order: StepOrder = _order_of(options, shards, start)
        # Which records of the set that was opened those of the order are.
        self._stored: Callable[[NDArray[np.int64]], NDArray[np.int64]] | None = None
        if shards.choice is not None and isinstance(self._order, Order):
            self._stored = shards.choice.ids
        # Distance of the same place in the next window, of all members of a mix.
        self.window = 0
        if options.shuffle == "window":
            block, window, lanes = options.block or 1, options.window or 1, options.lanes or 1
            # Of a part of a set a block has fewer records, on average.
            share = len(shards) / max(1, shards.stored_records)
            self.window = max(lanes, round(window * block * lanes * share))
        choices = [shards.choice] if shards.mix is None else shards.mix.choices
        self._is_uneven = bool(self.window) and any(choice is not None for choice in choices)
        # What was computed to look ahead, and how many steps that may be: a window.
        self._known: OrderedDict[tuple[int, int], NDArray[np.int64]] = OrderedDict()
        steps = self.window // options.step_size + 8
        self._most = steps if steps <= _MOST_KNOWN else 0

    def ids(self, epoch: int, start: int) -> NDArray[np.int64]:
        """Return the records of this rank's part of the step at position `start` of an epoch."""
        known = self._known.pop((epoch, start), None) if self._known else None
        if known is not None:
            return known
        stop = start + self._options.step_size
        if not self._options.pad:
            stop = min(stop, self.positions)
        ids = self._order.share(epoch, start, stop, *self._options.share)
        return ids if self._stored is None else self._stored(ids)

    @property
    def is_uneven(self) -> bool:
        """Whether windows have more or fewer records than others: those of parts of sets."""
        return self._is_uneven

    def coming(self, epoch: int, start: int) -> NDArray[np.int64]:
        """Return this rank's records from a position on, for two windows.

        First come all that are left of the windows that lanes have begun: what is read of them is
        not to be read again, whatever the others bring in meanwhile.
        """
        share = self._options.share
        distance = 2 * self.window // self.size * self.size + self.size
        stop = min(start + distance, self.positions)
        ids = [self._order.share(epoch, start, stop, *share)]
        if isinstance(self._order, ChosenWindowOrder):
            ids.insert(0, self._order.rest(epoch, start, *share))
        if stop < start + distance and not self._is_beyond(epoch, epoch + 1):
            rest = min(start + distance - stop, self.positions) // self.size * self.size
            ids.append(self._order.share(epoch + 1, 0, rest, *share))
        return np.concatenate(ids)

    def later(self, epoch: int, start: int, distance: int) -> NDArray[np.int64]:
        """Return the records of the step that is about `distance` ahead, maybe in the next epoch.

        None at all where it is not of the same pass.
        """
        options = self._options
        length = self.count * options.step_size
        step = start + distance - distance % options.step_size
        later = epoch + step // length
        # A stream that was resumed is not where steps begin that are counted from 0.
        step = step if later == epoch else step % length // options.step_size * options.step_size
        if self._is_beyond(epoch, later):
            return np.empty(0, dtype=np.int64)
        ids = self.ids(later, step)
        if self._most:
            # They need not be computed again when their turn comes.
            self._known[later, step] = ids
            if len(self._known) > self._most:
                with suppress(KeyError):  # another thread may have taken the last one
                    self._known.popitem(last=False)
        return ids

    def _is_beyond(self, epoch: int, later: int) -> bool:
        """Whether a later epoch is not of the pass of this one."""
        options = self._options
        if options.epochs is None:
            return False
        this_pass = (epoch - options.start_epoch) // options.epochs
        return later >= options.start_epoch + (this_pass + 1) * options.epochs


@dataclass(frozen=True)
class _StoredOrder:
    """An order of some records of a set, which gives their numbers among the stored ones."""

    order: Order
    choice: Choice

    def at(self, epoch: int, positions: Ids) -> Ids:
        """Return the records at positions of an epoch, which increase."""
        return self.choice.ids(self.order.at(epoch, positions))


def _order_of(options: BatchOptions, shards: Dataset, start: MixStart | None) -> StepOrder:
    """Return the order of a set."""
    if options.draws is not None:
        return drawn_order(options.draws.array, options.seed)
    mix = shards.mix
    if mix is None:
        return _own_order(options, len(shards), shards.choice)
    members: list[tuple[MemberOrder, int, int]] = []
    for size, begin, choice in zip(mix.sizes, mix.begins, mix.choices, strict=True):
        order: MemberOrder = _own_order(options, size, choice)
        if choice is not None and isinstance(order, Order):
            order = _StoredOrder(order, choice)
        members.append((order, size, begin))
    lanes = options.lanes or 1 if options.shuffle == "window" else None
    start = start or MixStart.first(mix.places)
    return MixedOrder(members, start, options.positions(shards), options.seed, lanes)


def _own_order(options: BatchOptions, records: int, choice: Choice | None) -> Order | WindowOrder:
    """Return the order of the records of a set, or of a member of a mix.

    In the order `window` they are stored ones, else numbers of those that the set holds.
    """
    if options.shuffle != "window":
        return plain_order(records, options.shuffle, options.seed)
    block, window, lanes = options.block or 1, options.window or 1, options.lanes or 1
    owned = lanes // options.share[1]
    if choice is not None:
        return ChosenWindowOrder(choice.blocks(block), options.seed, window, lanes, owned)
    return WindowOrder(records, options.seed, block, window, lanes, owned)
