"""What a mix of sets is: its members, their shares, and how long an epoch is."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, get_args

import numpy as np

from reader.order.mixed import ROUND, places_of
from reader.sets.choice import PIECE, Choice, Ids, listed, whole
from shardio.errors import OptionError
from shardio.grammar import counted

Until = Literal["first", "all"]
UNTIL: tuple[Until, ...] = get_args(Until)


@dataclass(frozen=True)
class Mix:
    """Members of `sizes` records, drawn by weight.

    `choices` say which of the `stored` records of each these are; None stands for all. `places` are
    those of each in a round of 1,024 turns. An epoch has `steps` steps or, without them, as many
    whole rounds as it takes until the first member, or all of them, were given whole.
    """

    sizes: tuple[int, ...]
    places: tuple[int, ...]
    steps: int | None
    until: Until
    stored: tuple[int, ...]
    choices: tuple[Choice | None, ...]

    @classmethod
    def of(
        cls,
        sizes: Sequence[int],
        weights: Sequence[float] | None,
        steps: int | None,
        until: Until | None,
        parts: Sequence[tuple[int, Choice | None]] | None = None,
    ) -> Mix:
        """Make one from what the user says; without weights all members have the same.

        `parts` are (stored records, choice) of members that do not hold all of their shards.

        Raises OptionError for what cannot be right.
        """
        if not 1 <= len(sizes) <= ROUND:
            raise OptionError(f"a mix has 1 to {ROUND:,} members, not {len(sizes)}")
        if weights is not None and (
            isinstance(weights, str | Mapping | Set) or not isinstance(weights, Iterable)
        ):
            raise OptionError(
                f"weights is a list with the weight of each member, in their order, not {weights!r}"
            )
        weights = [1.0] * len(sizes) if weights is None else [_weight(x) for x in weights]
        if len(weights) != len(sizes):
            raise OptionError(
                f"weights has {counted(len(weights), 'value')}, and the mix "
                f"{counted(len(sizes), 'member')}"
            )
        if steps is not None:
            try:
                steps = operator.index(None if isinstance(steps, bool) else steps)  # type: ignore[arg-type]
            except TypeError:
                raise OptionError(f"steps must be a whole number, not {steps!r}") from None
        if steps is not None and steps < 1:
            raise OptionError(f"steps must be at least 1, not {steps}")
        if steps is not None and until is not None:
            raise OptionError("an epoch ends after steps= or until=, not both")
        if until is not None and until not in UNTIL:
            raise OptionError(f"until must be {' or '.join(map(repr, UNTIL))}, not {until!r}")
        _refuse_empty(sizes)
        parts = [(size, None) for size in sizes] if parts is None else parts
        stored, choices = tuple(n for n, _ in parts), tuple(choice for _, choice in parts)
        return cls(tuple(sizes), places_of(weights), steps, until or "first", stored, choices)

    def part(self, choice: Choice) -> Mix:
        """Return the mix of what `choice` has of each member, in the same shares.

        It has stored records of all members, one member after the other. Raises OptionError where
        it has none of one.
        """
        ends = np.cumsum(self.stored, dtype=np.int64)
        counts = np.zeros(len(ends), dtype=np.int64)
        for ids in _pieces(choice, 0, len(choice)):
            counts += np.bincount(np.searchsorted(ends, ids, side="right"), minlength=len(ends))
        _refuse_empty(counts.tolist())
        stops = np.cumsum(counts).tolist()
        parts: list[Choice | None] = []
        for begin, stored, start, stop in zip(
            self.begins, self.stored, [0, *stops], stops, strict=False
        ):
            part = listed(partial(_pieces, choice, start, stop, begin))
            parts.append(None if part == whole(stored) else part)
        return replace(self, sizes=tuple(counts.tolist()), choices=tuple(parts))

    @property
    def shares(self) -> tuple[float, ...]:
        """The share of each member, exact in every round."""
        return tuple(places / ROUND for places in self.places)

    @property
    def members(self) -> str:
        """The members in words: their shares, by their places, and their records."""
        return " and ".join(
            f"{share:.2%} ({places} in {ROUND:,}) of {counted(size, 'record')}"
            for share, places, size in zip(self.shares, self.places, self.sizes, strict=True)
        )

    @property
    def begins(self) -> tuple[int, ...]:
        """The number of the first stored record of each member."""
        return tuple(sum(self.stored[:member]) for member in range(len(self.stored)))

    def length(self, step_size: int, lanes: int) -> int:
        """Return how many positions an epoch has, for steps of so many, and turns of `lanes`."""
        if self.steps is not None:
            return self.steps * step_size
        rounds = [
            -(-size // (places * lanes))
            for size, places in zip(self.sizes, self.places, strict=True)
        ]
        return (min(rounds) if self.until == "first" else max(rounds)) * ROUND * lanes


def _refuse_empty(sizes: Sequence[int]) -> None:
    empty = [str(number) for number, size in enumerate(sizes) if not size]
    if empty:
        raise OptionError(f"member {', '.join(empty)} of the mix has no records: leave it out")


def _pieces(choice: Choice, start: int, stop: int, begin: int = 0) -> Iterable[Ids]:
    """Yield the ids of a choice from `start` to `stop`, counted from `begin`."""
    for at in range(start, stop, PIECE):
        yield choice.ids(np.arange(at, min(at + PIECE, stop))) - begin


def _weight(value: float) -> float:
    try:
        weight = float(value)
    except (TypeError, ValueError):
        raise OptionError(f"a weight is a number, not {value!r}") from None
    if not (math.isfinite(weight) and weight > 0):
        raise OptionError(
            f"the weights of a mix are numbers above 0, not {value!r}: leave out a member that is "
            "not wanted"
        )
    return weight
