"""Which records have the labels, splits or values that a user asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from shardio.errors import OptionError
from shardio.format.label import Label
from shardio.format.layout import ROW

Ids = NDArray[np.int64]
Mask = NDArray[np.bool_]
# From the labels of n records by their heads to whether each is wanted, (n,).
Condition: TypeAlias = Callable[[Mapping[str, NDArray[Any]]], Any]


class LabelsByHead(Mapping[str, NDArray[Any]]):
    """The labels of some records by head, each read when it is asked for; `row` has their rows."""

    def __init__(self, names: Sequence[str], values: Callable[[str], NDArray[Any]]) -> None:
        self._names = [*names, ROW]
        self._values = values

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self._names:
            raise no_label(name, self._names)
        return self._values(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def no_label(name: str, known: Sequence[str]) -> OptionError:
    """Return the error for a head that a set does not have."""
    near = get_close_matches(str(name), known, 1)
    has = f"it has {', '.join(known)}" if known else "its records have none"
    hint = f"did you mean {near[0]!r}?" if near else has
    return OptionError(f"the set has no label {name!r}; {hint}")


def wanted_classes(label: Label, value: Any) -> NDArray[np.int64]:
    """Return the class numbers that a user names for a head: numbers or, of text labels, texts.

    Raises OptionError for a head that has no classes, and for a class that there is not.
    """
    if not label.kind.is_class:
        raise OptionError(
            f"{label.name} is {label.kind}, not one class; choose by a function: "
            f'where(lambda labels: labels["{label.name}"] > 0.5)'
        )
    if isinstance(value, np.ndarray) and not value.ndim:
        value = value.item()
    single = isinstance(value, str) or not isinstance(value, Iterable)
    given = [value] if single else list(value)
    return np.array([_class_of(label, one) for one in given], dtype=np.int64)


def _class_of(label: Label, value: Any) -> int:
    if isinstance(value, str):
        if label.vocabulary is None:
            raise OptionError(f"{label.name} has no texts: name its classes by numbers")
        if (number := label.number_of(value)) is not None:
            return number
        near = get_close_matches(value, label.vocabulary, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise OptionError(f"{label.name} has no class {value!r}{hint}")
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
        raise OptionError(f"a class of {label.name} is a number or a text, not {value!r}")
    if not 0 <= value < (label.classes or 2**31):
        known = f"{label.classes} classes, from 0 on" if label.classes else "no negative classes"
        raise OptionError(f"{label.name} has {known}: {value} is none of them")
    return int(value)


def checked_mask(mask: Any, count: int) -> Mask:
    """Return what a condition said of `count` records.

    Raises OptionError where it is no mask of that many.
    """
    found = np.asarray(mask)
    if found.dtype != np.bool_ or found.shape != (count,):
        raise OptionError(
            f"the function has to say True or False of each of {count:,} records: an array of bool "
            f"({count},), not {found.dtype} {found.shape}"
        )
    return found
