"""Shapes and dtypes of what a batch holds, for frameworks that want them beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from reader.batching.batch_form import BatchParts
from reader.batching.options import BatchOptions
from shardio.format.label import Label


class ArraySpec(NamedTuple):
    """An array of a batch: its dtype, and its shape for one record."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.dtype} (batch{''.join(f', {size}' for size in self.shape)})"

    @classmethod
    def of(cls, array: Any) -> ArraySpec:
        """Return that of an array of a batch."""
        return cls(array.dtype, array.shape[1:])


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

    @classmethod
    def of(cls, parts: BatchParts, heads: tuple[str, ...]) -> BatchSpec:
        """Return that of a batch; `heads` are the names of its labels where it says none."""
        labels = tuple(map(ArraySpec.of, parts.labels))
        heads = heads if parts.heads is None else parts.heads
        if len(heads) != len(labels):
            heads = tuple(f"ys[{number}]" for number in range(len(labels)))
        return cls(ArraySpec.of(parts.images), labels, heads)

    def check(self, parts: BatchParts) -> None:
        """Raise ValueError where a batch is not of this spec, and name what is different."""
        found = BatchSpec.of(parts, self.heads)
        if found == self:
            return
        if found.heads != self.heads:
            raise ValueError(
                f"ys has {_names(found)}, and in the first batch it had {_names(self)}; it has to "
                "be the same in all"
            )
        names = ("x", *self.heads)
        pairs = zip(names, (found.images, *found.labels), (self.images, *self.labels), strict=True)
        name, other, first = next((name, a, b) for name, a, b in pairs if a != b)
        raise ValueError(
            f"{name} is {other}, and in the first batch it was {first}; it has to be the same in "
            "all"
        )


def _names(spec: BatchSpec) -> str:
    return f"{len(spec.labels)} labels ({', '.join(spec.heads)})"


def _of_label(label: Label, *, one_hot: bool) -> ArraySpec:
    if one_hot and label.kind.is_class:
        return ArraySpec(np.dtype(np.float32), (label.classes,))
    shape = (label.kind.length,) if label.kind.length > 1 else ()
    return ArraySpec(np.dtype(np.float32 if label.kind.is_float else np.int32), shape)
