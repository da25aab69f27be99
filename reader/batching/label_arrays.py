"""The labels that a stream reads, and the arrays of them: integers and floats."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reader.core import compiled
from reader.sets.conditions import no_label
from shardio.errors import DatasetError
from shardio.format.label import MAX_LABEL, Label, are_finite, columns_of, floats_of

Array = NDArray[Any]


def chosen_labels(labels: Sequence[Label], names: Sequence[str] | None) -> tuple[Label, ...]:
    """Return the labels called `names`, in that order; all of them for None.

    Raises OptionError for a name that no label has.
    """
    known = {label.name: label for label in labels}
    if names is None:
        return tuple(labels)
    for name in names:
        if name not in known:
            raise no_label(name, [*known])
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


class LabelArrays:
    """Makes the label arrays of batches; `place` names a record by its number in the set."""

    def __init__(self, labels: Sequence[Label], place: Callable[[int], str]) -> None:
        self._labels = labels
        self._place = place
        # Whether each label is one integer; these are made by compiled code.
        self._plain = all(label.kind.is_class for label in labels)
        # The largest label of each head.
        self._most = np.array(
            [label.classes - 1 if label.classes else MAX_LABEL for label in labels], dtype=np.int64
        )

    def make(
        self, integers: NDArray[np.int64], ids: NDArray[np.int64] | None = None
    ) -> list[Array]:
        """Make them from the numbers of n records, (n, numbers).

        Raises DatasetError for a label that is none of its head's classes, or no finite float. It
        names the record if `ids` has the numbers of all, which is not so where others took the
        place of some.
        """
        if not self._plain:
            self._refuse(integers, ids)
            return label_arrays(integers, self._labels)
        if compiled.core is not None:
            labels = np.empty((len(self._labels), len(integers)), dtype=np.int32)
            if not compiled.core.labels(np.ascontiguousarray(integers), self._most, labels):
                self._refuse(integers, ids)
            return list(labels)
        values = integers[:, :-1]
        if len(values) and (values.max(axis=0) > self._most).any():
            self._refuse(integers, ids)
        # One conversion for all heads; each is a row of the result, so no view is strided.
        return list(values.T.astype(np.int32, order="C"))

    def _refuse(self, integers: NDArray[np.int64], ids: NDArray[np.int64] | None) -> None:
        wrong = wrong_label(integers, self._labels)
        if wrong is not None:
            at, what = wrong
            place = "a record" if ids is None else self._place(int(ids[at]))
            raise DatasetError(f"{place}, row {integers[at, -1]}: {what}")


def label_arrays(integers: NDArray[np.int64], labels: Sequence[Label]) -> list[Array]:
    """Return the labels of n records, (n,) or of a vector (n, length), as int32 or float32."""
    arrays = []
    for label, columns in zip(labels, columns_of([label.kind for label in labels]), strict=True):
        numbers = integers[:, columns]
        values = floats_of(numbers) if label.kind.is_float else numbers.astype(np.int32, order="C")
        arrays.append(values if label.kind.length > 1 else values[:, 0])
    return arrays


def wrong_label(integers: NDArray[np.int64], labels: Sequence[Label]) -> tuple[int, str] | None:
    """Find a label that is none of its head's classes, or no finite float.

    Returns at which of the records, and what it is.
    """
    for label, columns in zip(labels, columns_of([label.kind for label in labels]), strict=True):
        numbers = integers[:, columns]
        if label.kind.is_float:
            bad, known = ~are_finite(numbers), "floats have to be finite"
        else:
            bad = numbers >= (label.classes or MAX_LABEL + 1)
            known = (
                f"it has {label.classes} classes" if label.classes else f"{MAX_LABEL} is the most"
            )
        if bad.any():
            at, place = np.argwhere(bad)[0].tolist()
            of_all = floats_of(numbers) if label.kind.is_float else numbers
            where = f" at {place}" if label.kind.length > 1 else ""
            return at, f"label {label.name} is {of_all[at, place]}{where}, but {known}"
    return None
