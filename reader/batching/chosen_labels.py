"""The heads that a stream reads, of those that its records have."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

import numpy as np
from numpy.typing import NDArray

from shardio.errors import OptionError
from shardio.format.label import Label
from shardio.format.label_kind import columns_of


def chosen_labels(labels: Sequence[Label], names: Sequence[str] | None) -> tuple[Label, ...]:
    """Return the labels called `names`, in that order; all of them for None.

    Raises OptionError for a name that no label has.
    """
    known = {label.name: label for label in labels}
    if names is None:
        return tuple(labels)
    for name in names:
        if name not in known:
            near = get_close_matches(name, known, 1)
            has = f"it has {', '.join(known)}" if known else "its records have none"
            hint = f"did you mean {near[0]!r}?" if near else has
            raise OptionError(f"the set has no label {name!r}; {hint}")
    return tuple(known[name] for name in names)


def number_columns(labels: Sequence[Label], chosen: Sequence[Label]) -> NDArray[np.intp] | None:
    """Return which numbers of a record are those of the chosen labels, and the row; None for all.

    `labels` are those that the record has.
    """
    if tuple(labels) == tuple(chosen):
        return None
    columns = columns_of([label.kind for label in labels])
    places = {label.name: place for label, place in zip(labels, columns, strict=True)}
    row = columns[-1].stop if columns else 0
    of_labels = [range(places[label.name].start, places[label.name].stop) for label in chosen]
    return np.array([*(number for each in of_labels for number in each), row], dtype=np.intp)
