"""Shapes and dtypes of what a batch holds, for frameworks that want them beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from reader.batching.options import BatchOptions
from shardio.format.label import Label


class ArraySpec(NamedTuple):
    """An array of a batch: its dtype, and its shape for one record."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.dtype} (batch{''.join(f', {size}' for size in self.shape)})"


@dataclass(frozen=True)
class BatchSpec:
    """What the images and labels of all batches are; `heads` are the names of the labels."""

    images: ArraySpec
    labels: tuple[ArraySpec, ...]
    heads: tuple[str, ...]

    @classmethod
    def stored(
        cls, shape: tuple[int, ...], labels: Sequence[Label], options: BatchOptions
    ) -> BatchSpec:
        """Return that of images of a shape and these labels, as they are stored."""
        return cls(
            ArraySpec(np.dtype(options.dtype), shape),
            tuple(_of_label(label, one_hot=options.one_hot) for label in labels),
            tuple(label.name for label in labels),
        )


def _of_label(label: Label, *, one_hot: bool) -> ArraySpec:
    if one_hot and label.kind.is_class:
        return ArraySpec(np.dtype(np.float32), (label.classes,))
    shape = (label.kind.length,) if label.kind.length > 1 else ()
    return ArraySpec(np.dtype(np.float32 if label.kind.is_float else np.int32), shape)
