"""A batch on its way from Python to TensorFlow."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from reader.batching.batch_form import Batch, BatchForm, BatchParts
from reader.batching.batch_maker import BatchMaker


class TensorBatch:
    """Turns batches of a maker into a few arrays, and the tensors of these into a batch.

    Each array that a `numpy_function` returns costs TensorFlow more time under the interpreter's
    lock than copying the labels of a batch does. So labels with one number a sample are rows of one
    array for each dtype.
    """

    def __init__(self, maker: BatchMaker) -> None:
        options, spec = maker.options, maker.spec
        self._form = BatchForm.of(spec.heads, as_dict=options.as_dict)
        self._has_rows = options.rows
        self._labels = len(spec.labels)
        groups: dict[tuple[int, Any], list[int]] = {}
        for number, array in enumerate(spec.labels):
            groups.setdefault((number if array.shape else -1, array.dtype), []).append(number)
        # The numbers of the labels in each array.
        self._groups = list(groups.values())
        size = options.batch_size if options.full else None
        of_labels = [
            (spec.labels[group[0]].dtype, (*_together(group), size, *spec.labels[group[0]].shape))
            for group in self._groups
        ]
        row = (size, 2) if maker.shards.members else (size,)
        specs: list[tuple[Any, tuple[int | None, ...]]] = [
            (spec.images.dtype, (size, *spec.images.shape)),
            *of_labels,
            *([(np.float32, (size,))] if options.pad or options.rows else []),
            *([(np.int64, row)] if options.rows else []),
        ]
        self._shapes = [shape for _, shape in specs]
        self.dtypes = [tf.as_dtype(dtype) for dtype, _ in specs]

    def arrays(self, parts: BatchParts) -> list[Any]:
        """Return the arrays of a batch, of `dtypes`.

        Rows bring weights, so that they are a fourth element, which Keras refuses: it would train
        with a third one as the weights.
        """
        images, labels, weights, rows, _ = parts
        if weights is None and self._has_rows:
            weights = np.ones(len(images), dtype=np.float32)
        together = [
            np.stack([labels[number] for number in group]) if _together(group) else labels[group[0]]
            for group in self._groups
        ]
        return [images, *together, *(part for part in (weights, rows) if part is not None)]

    def batch(self, tensors: list[tf.Tensor]) -> Batch:
        """Return a batch of the tensors that the arrays have become."""
        for tensor, shape in zip(tensors, self._shapes, strict=True):
            tensor.set_shape(shape)
        images, *others = tensors
        labels: list[Any] = [None] * self._labels
        for group in self._groups:
            found = others.pop(0)
            rows = tf.unstack(found) if _together(group) else [found]
            for number, tensor in zip(group, rows, strict=True):
                labels[number] = tensor
        return self._form.for_keras(BatchParts(images, labels, *others))


def _together(group: list[int]) -> tuple[int, ...]:
    """Return the first dimension of an array that holds several labels."""
    return (len(group),) if len(group) > 1 else ()
