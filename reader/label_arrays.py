"""The label arrays of a batch: integers, or one-hot in pooled memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reader import core_fetch
from reader.pool import Pool, Room
from shardio.errors import DatasetError
from shardio.format.manifest import Label

Array = NDArray[Any]


class LabelArrays:
    """Makes the label arrays of batches of at most `size` records, `alive` of them at once."""

    def __init__(self, labels: Sequence[Label], size: int, alive: int, *, one_hot: bool) -> None:
        self._labels = labels
        # The largest label of each head; where the number of classes is not known, any.
        self._most = np.array([label.classes - 1 if label.classes else 2**62 for label in labels])
        self._pools: list[Pool[Room]] = []
        if one_hot:
            self._pools = [self._pool(size, label.classes, alive) for label in labels]

    @staticmethod
    def _pool(size: int, classes: int, alive: int) -> Pool[Room]:
        return Pool(lambda: Room(size, classes, "float32"), alive)

    def make(self, integers: NDArray[np.int64]) -> list[Array]:
        """Make them from (n, heads + 1) integers, the last one the row.

        Raises DatasetError for a label that is none of its head's classes.
        """
        if core_fetch.core is not None and not self._pools:
            labels = np.empty((len(self._labels), len(integers)), dtype=np.int32)
            if not core_fetch.core.labels(np.ascontiguousarray(integers), self._most, labels):
                self._refuse(integers)
            return list(labels)
        values = integers[:, :-1]
        if len(values) and (values.max(axis=0) > self._most).any():
            self._refuse(integers)
        if not self._pools:
            # One conversion for all heads; each is a row of the result, so no view is strided.
            return list(values.T.astype(np.int32, order="C"))
        return [self._one_hot(integers[:, i], pool) for i, pool in enumerate(self._pools)]

    def _refuse(self, integers: NDArray[np.int64]) -> None:
        for index, label in enumerate(self._labels):
            values = integers[:, index]
            if label.classes and values.max() >= label.classes:
                at = int(values.argmax())
                raise DatasetError(
                    f"label {label.name} is {values[at]} in the record of row "
                    f"{integers[at, -1]}, but it has {label.classes} classes"
                )

    def _one_hot(self, values: NDArray[np.int64], pool: Pool[Room]) -> Array:
        memory = pool.take()
        array = memory.array[: len(values)]
        array.fill(0)
        array[np.arange(len(values)), values] = 1
        return pool.lease(memory)[: len(values)]
