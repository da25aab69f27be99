"""What weights say of the records of a set: a table that draws them, kept for all processes."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from reader.order.alias import MAX_RECORDS, Weights, fill_alias_table
from reader.sets.kept_array import KeptArray, keep_array
from shardio.errors import DatasetError, OptionError
from shardio.format.label import Label
from shardio.grammar import counted

ClassWeights: TypeAlias = Literal["balanced"] | Mapping[Any, float]
# By class, by record, or as the table that was made of these.
RecordWeights: TypeAlias = Mapping[str, ClassWeights] | Sequence[float] | NDArray[Any] | KeptArray
LabelsOf: TypeAlias = Callable[[str], NDArray[Any]]

BALANCED = "balanced"
# Part of what a table is made of: another number where the same weights give other draws.
_VERSION = 1
# Values that are looked at at once.
_PIECE = 1 << 18


def draws_of(
    weights: RecordWeights,
    *,
    records: int,
    labels: Sequence[Label],
    labels_of: LabelsOf,
    fingerprint: str,
    version: str,
    place: Callable[[int], str],
) -> KeptArray:
    """Return the alias table of a set for what a user says of its records or classes.

    `labels_of` returns the labels of a head of all records; `place` names a record; `version` is
    that of the files, where the fingerprint does not tell. Raises OptionError for weights that do
    not fit the set, or are none.
    """
    if isinstance(weights, KeptArray):
        if weights.array.shape != (records, 2):
            raise OptionError("these weights were made for another set: make them of this one")
        return weights
    if records > MAX_RECORDS:
        raise OptionError(f"weights are for at most {MAX_RECORDS:,} records, not {records:,}")
    if not records:
        raise OptionError("weights are for a set that has records, and this one is empty")
    if isinstance(weights, Mapping):
        heads = [
            _ClassTable.of(name, given, labels, labels_of, place) for name, given in weights.items()
        ]
        if not heads:
            raise OptionError('weights names no label: give them as {"y0": "balanced"}')
        made_of = f"{fingerprint} {sorted((head.name, head.said) for head in heads)}"

        def of_classes(start: int, stop: int) -> NDArray[np.float64]:
            product = np.ones(stop - start)
            for head in heads:
                product *= head.weights[head.labels[start:stop]]
            return product

        source: Weights = of_classes
    else:
        array = _array(weights, records)
        made_of = _digest(array)

        def of_records(start: int, stop: int) -> NDArray[np.float64]:
            return np.asarray(array[start:stop], dtype=np.float64)

        source = of_records

    def fill(table: NDArray[np.uint32]) -> None:
        fill_alias_table(table, source, place)

    return keep_array(f"draws {_VERSION} {made_of}", (records, 2), np.uint32, fill, version=version)


def loss_weights(
    name: str, labels: Sequence[Label], labels_of: LabelsOf, place: Callable[[int], str]
) -> NDArray[np.float32]:
    """Return balanced weights of the classes of a head for a loss, (classes,).

    Raises OptionError for a head that has no classes, or where their number is not known.
    """
    label = class_label(name, labels, "class_weights")
    if not label.classes:
        raise OptionError(
            f"class_weights needs the number of classes of {name}, and there is no dataset.json "
            "beside the shards; give classes= to open_shards"
        )
    numbers = labels_of(name)
    check_classes(numbers, label, place)
    return balanced(numbers, label.classes).astype(np.float32)


def balanced(labels: NDArray[Any], classes: int) -> NDArray[np.float64]:
    """Return weights by which all classes that are seen have the same sum, (classes,).

    n / (k * n_c) for the n_c of n records that have class c, where k classes are seen: so
    scikit-learn's "balanced" has it, and the mean over the records is 1. The others have 0.
    """
    counts = class_counts(labels, classes)
    seen = counts > 0
    weights = np.zeros(classes)
    weights[seen] = len(labels) / (np.count_nonzero(seen) * counts[seen])
    return weights


def check_classes(labels: NDArray[Any], label: Label, place: Callable[[int], str]) -> None:
    """Raise DatasetError, with the place of the record, for a label that is no class of a head."""
    for start in range(0, len(labels) if label.classes else 0, _PIECE):
        wrong = np.flatnonzero(labels[start : start + _PIECE] >= label.classes)
        if len(wrong):
            number = start + int(wrong[0])
            raise DatasetError(
                f"{place(number)}: label {label.name} is {labels[number]}, but it has "
                f"{counted(label.classes, 'class')}"
            )


def class_counts(labels: NDArray[Any], classes: int) -> NDArray[np.int64]:
    """Count the records of each class, (classes,)."""
    counts = np.zeros(classes, dtype=np.int64)
    for start in range(0, len(labels), _PIECE):
        counts += np.bincount(labels[start : start + _PIECE], minlength=classes)
    return counts


class _ClassTable:
    """The weight of each class of a head, the labels of the records, and what was said of it."""

    def __init__(
        self, name: str, weights: NDArray[np.float64], labels: NDArray[Any], said: str
    ) -> None:
        self.name, self.weights, self.labels, self.said = name, weights, labels, said

    @classmethod
    def of(
        cls,
        name: str,
        given: ClassWeights,
        labels: Sequence[Label],
        labels_of: LabelsOf,
        place: Callable[[int], str],
    ) -> _ClassTable:
        """Make it of what a user says of the classes of a head."""
        label = class_label(name, labels, "weights")
        numbers = labels_of(name)
        classes = label.classes or _highest(numbers) + 1
        check_classes(numbers, label, place)
        if isinstance(given, str) and given == BALANCED:
            return cls(name, balanced(numbers, classes), numbers, BALANCED)
        if not isinstance(given, Mapping):
            raise OptionError(
                f'the weights of {name} must be "balanced" or a weight for some of its classes, '
                f"such as {{17: 5.0}}, not {given!r}"
            )
        weights = np.ones(classes)
        said: dict[int, float] = {}
        for key, value in given.items():
            number = _class_of(key, label, classes)
            if number in said:
                raise OptionError(f"class {number} of {name} has two weights: {key!r} is one of it")
            said[number] = weights[number] = _weight(value, f"{name} {key!r}")
        return cls(name, weights, numbers, repr(sorted(said.items())))


def class_label(name: str, labels: Sequence[Label], what: str) -> Label:
    """Return the head of a name; raises OptionError where there is none, or it has no classes."""
    for label in labels:
        if label.name == name:
            if not label.kind.is_class:
                raise OptionError(
                    f"{name} is {label}, and {what} by class takes labels of one integer"
                    + ("; give an array with the weight of each record" * (what == "weights"))
                )
            return label
    known = ", ".join(label.name for label in labels) or "none"
    raise OptionError(f"{what}: the set has no label {name!r}; it has {known}")


def _class_of(key: Any, label: Label, classes: int) -> int:
    """Return the number of a class that is given by its number or its text."""
    if isinstance(key, str):
        if label.vocabulary is None:
            raise OptionError(
                f"weights of {label.name}: {key!r} is a text, and its classes are numbers"
            )
        if (named := label.number_of(key)) is None:
            raise OptionError(f"weights of {label.name}: no class is called {key!r}")
        return named
    try:
        number = int(key)
    except (TypeError, ValueError):
        number = -1
    if isinstance(key, bool) or number != key:
        raise OptionError(f"weights of {label.name}: a class is a whole number, not {key!r}")
    if not 0 <= number < classes:
        known = (
            f"it has {label.classes} classes, from 0"
            if label.classes
            else f"no record has more than {classes - 1}; the number of classes is not known: give "
            "open_shards classes="
        )
        raise OptionError(f"weights of {label.name}: there is no class {number}; {known}")
    return number


def _weight(value: Any, name: str) -> float:
    try:
        weight = float(value)
    except (TypeError, ValueError):
        weight = math.nan
    if not (math.isfinite(weight) and weight >= 0):
        raise OptionError(f"the weight of {name} is {value!r}: weights are numbers from 0 on")
    return weight


def _array(weights: Any, records: int) -> NDArray[Any]:
    """Return weights of records as an array of numbers, which may be a map of a file."""
    if isinstance(weights, str):
        raise OptionError(
            'weights are by class, {"y0": "balanced"}, or an array with one for each record, not '
            f"{weights!r}"
        )
    try:
        array: NDArray[Any] = np.asanyarray(weights)
    except ValueError as error:
        raise OptionError(f"weights is no array of numbers: {error}") from error
    if array.dtype.kind not in "fiub" or array.ndim != 1:
        raise OptionError(
            'weights are by class, {"y0": "balanced"}, or an array of numbers, one for each '
            f"record, not one of {array.dtype} of shape {array.shape}"
        )
    if len(array) != records:
        raise OptionError(
            f"weights has {counted(len(array), 'value')}, and the set {counted(records, 'record')}"
        )
    return array


def _digest(array: NDArray[Any]) -> str:
    digest = hashlib.sha256()
    for start in range(0, len(array), _PIECE):
        digest.update(np.ascontiguousarray(array[start : start + _PIECE], dtype="<f8").tobytes())
    return digest.hexdigest()


def _highest(labels: NDArray[Any]) -> int:
    pieces = (labels[start : start + _PIECE] for start in range(0, len(labels), _PIECE))
    return max((int(piece.max()) for piece in pieces), default=-1)
