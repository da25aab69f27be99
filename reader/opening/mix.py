"""A mix: sets of one shape, drawn by weight, as one set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from reader.opening.join import join
from reader.sets.mix import Mix, Until
from reader.shardset import ShardSet
from shardio.errors import OptionError


def mix(
    members: Sequence[ShardSet],
    weights: Sequence[float] | None = None,
    *,
    steps: int | None = None,
    until: Until | None = None,
) -> ShardSet:
    """Mix sets of one shape and the same labels: each comes as often as its weight says.

    Without `weights` all come equally often. In each round of 1,024 positions a member has a whole
    number of places, its weight, rounded, and at least one: `mixed.mix.shares`, which its repr
    shows too. It gives its own records in its own order, and goes on with its next epoch at the
    end.

    An epoch of the mix has `steps` steps or, without them, as many whole rounds as it takes until
    the first member was given whole, or with `until="all"` until all were. `len` is the number of
    records of all members.

    Raises OptionError for weights that are none, and DatasetError for members that differ.
    """
    sets = list(members)
    for number, member in enumerate(sets):
        if not isinstance(member, ShardSet):
            raise OptionError(
                f"member {number} of the mix is no set, but of type {type(member).__name__}: give "
                "sets, as open_shards returns them"
            )
        if member.mix is not None:
            raise OptionError(f"member {number} is a mix itself: name its members instead")
    sizes = [len(member) for member in sets]
    parts = [(member.stored_records, member.choice) for member in sets]
    found = Mix.of(sizes, weights, steps, until, parts)
    names = [f"member {number}" for number in range(len(sets))]
    return replace(join(sets, names), mix=found)
