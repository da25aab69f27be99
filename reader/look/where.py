"""Records that are chosen by their labels, as a command line says it: `y0=17`."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from reader.sets.draws import class_label
from reader.shardset import ShardSet
from shardio.arguments import did_you_mean
from shardio.errors import DatasetError, OptionError
from shardio.format.label import Label


def chosen_by(shards: ShardSet, conditions: Sequence[str]) -> tuple[ShardSet, str]:
    """Return the set of the records that fulfil all conditions, and these in words.

    Raises OptionError for a condition that names no class, DatasetError where no record is left.
    """
    part, said = shards, []
    for condition in conditions:
        name, equals, value = condition.partition("=")
        if not equals:
            raise OptionError(f"--where is LABEL=CLASS, such as y0=17, not {condition!r}")
        label = class_label(name, shards.labels, "--where")
        number = class_of(value, label)
        part = part.where(**{name: number})
        said.append(f"{name}={label.in_words(np.array([number]))}")
    if conditions and not len(part):
        raise DatasetError(f"no record has {' and '.join(said)}")
    return part, " and ".join(said)


def class_of(value: str, label: Label) -> int:
    """Return the number of a class that is given by its text, or by its number."""
    if (known := label.number_of(value)) is not None:
        return known
    if not re.fullmatch(r"[0-9]{1,18}", value):
        near = "" if label.vocabulary is None else did_you_mean(value, label.vocabulary)
        raise OptionError(f"label {label.name} has no class {value!r}{near}")
    number = int(value)
    if label.classes and number >= label.classes:
        raise OptionError(
            f"label {label.name} has {label.classes:,} classes, from 0, and no {number}"
        )
    return number
