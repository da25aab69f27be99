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
        self._pools = [
            Pool(size, label.classes, "float32", alive) if label.kind.is_class else None
            for label in labels
        ]

    def of(self, labels: list[Array]) -> list[Array]:
        """Return the labels of a batch, integers of which none is too large, as one-hot ones."""
        pools = zip(labels, self._pools, strict=True)
        return [values if pool is None else _one_hot(values, pool) for values, pool in pools]


def _one_hot(values: Array, pool: Pool) -> Array:
    memory = pool.take()
    array = memory[: len(values)]
    array.fill(0)
    array[np.arange(len(values)), values] = 1
    return pool.lease(memory)[: len(values)]
