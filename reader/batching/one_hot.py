"""Labels of one integer as rows of zeros with a one in them, in pooled memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reader.fetch.pool import Pool
from shardio.errors import OptionError
from shardio.format.label import Label

Array = NDArray[Any]


class OneHot:
    """Makes float32 (batch, classes) of each label of one integer, and leaves others as they are.

    Batches have at most `size` records, and `alive` of them are there at once. Raises OptionError
    where no label is one integer, or the classes of one are not known.
    """

    def __init__(self, labels: Sequence[Label], size: int, alive: int) -> None:
        if labels and not any(label.kind.is_class for label in labels):
            raise OptionError(
                f"one_hot is for labels of one integer, and {labels[0].name} is {labels[0]}; take "
                "batches without it"
            )
        unknown = [label.name for label in labels if label.kind.is_class and not label.classes]
        if unknown:
            raise OptionError(
                f"one_hot needs the number of classes of {', '.join(unknown)}, and there is no "
                "dataset.json beside the shards; give classes= to open_shards"
            )
        self._classes = {label.name: label.classes for label in labels}
        self._pools = {
            label.name: Pool(size, label.classes, "float32", alive)
            for label in labels
            if label.kind.is_class
        }

    def of(self, labels: list[Array]) -> list[Array]:
        """Return the labels of a batch, integers of which none is too large, as one-hot ones."""
        pools = map(self._pools.get, self._classes)
        return [
            values if pool is None else _one_hot(values, pool)
            for values, pool in zip(labels, pools, strict=True)
        ]

    def of_transformed(self, labels: list[Array], heads: tuple[str, ...] | None) -> list[Array]:
        """Return the labels that a transform returned, those called as one-hot ones are.

        What is no longer one integer a sample stays as it is. Raises ValueError for an integer that
        is no class, and where labels have no names and are not as many as they were.
        """
        names = tuple(self._classes) if heads is None else heads
        if len(names) != len(labels):
            raise ValueError(
                f"ys has {len(labels)} labels, and was given with {len(names)}: with one_hot "
                "as_dict=True has to name them"
            )
        found = []
        for name, values in zip(names, labels, strict=True):
            pool = self._pools.get(name)
            if pool is None or values.ndim != 1 or values.dtype.kind not in "iu":
                found.append(values)
                continue
            wrong = values[(values < 0) | (values >= self._classes[name])]
            if len(wrong):
                raise ValueError(
                    f"label {name} is {wrong[0]}, but it has {self._classes[name]} classes"
                )
            found.append(_one_hot(values, pool))
        return found


def _one_hot(values: Array, pool: Pool) -> Array:
    memory = pool.take()
    array = memory[: len(values)]
    array.fill(0)
    array[np.arange(len(values)), values] = 1
    return pool.lease(memory)[: len(values)]
