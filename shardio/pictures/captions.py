"""The labels of a record, as they stand under its image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shardio.format.label import Label, columns_of
from shardio.format.sequences import sequences_of, without_lengths


def caption(labels: Sequence[Label], numbers: NDArray[np.integer]) -> list[str]:
    """Return the labels of a record in lines, from its numbers.

    Classes that are characters come first, as the text that they make, then all labels of one
    integer; every other label has a line of its own, but for the length of a text that is there.
    """
    texts, classes, others = [], [], []
    lengths = set(sequences_of(labels).values())
    columns = columns_of([label.kind for label in labels])
    is_one = sum(label.kind.is_class for label in labels) == 1 + len(lengths)
    for label, of_label in zip(labels, columns, strict=True):
        values = numbers[of_label]
        if label.name in lengths:
            continue
        if not label.kind.is_class:
            others.append(f"{label.name} {label.in_words(values)}")
        elif label.vocabulary is None:
            classes.append(str(int(values[0])))
        elif all(len(word) <= 1 for word in label.vocabulary):
            texts.append(label.vocabulary[int(values[0])])
            classes.append(str(int(values[0])))
        else:
            word = label.vocabulary[int(values[0])]
            others.append(f"{int(values[0])} {word}" if is_one else f"{label.name} {word}")
    return [line for line in ("".join(texts), " ".join(classes), *others) if line]


def heads_line(labels: Sequence[Label]) -> str:
    """Say which labels stand under each image."""
    names = ", ".join(label.name for label in without_lengths(labels))
    return f"labels {names}" if names else "no labels"
