"""The form in which the parts of a batch reach the caller.

| heads | NumPy, torch   | with `as_dict`              | TensorFlow, Keras | with `as_dict`       |
|-------|----------------|-----------------------------|-------------------|----------------------|
| none  | `(x,)`         | `{"image": x}`              | `x`               | `(x, {})`            |
| one   | `(x, y0)`      | `{"image": x, "y0": y0}`    | `(x, y0)`         | `(x, {"y0": y0})`    |
| more  | `(x, [y0, …])` | `{"image": x, "y0": y0, …}` | `(x, (y0, …))`    | `(x, {"y0": y0, …})` |

Weights and rows come after the labels, whose place is kept where there are none: Keras takes the
second element for labels and the third for weights, whatever it holds. So rows are the fourth for
TensorFlow, where Keras refuses them. tf.data would stack the labels of a list into one tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from shardio.errors import OptionError

# What a batch is to the caller: a union of the forms would have every caller check what it has
# itself chosen.
Batch = Any
IMAGE, WEIGHT, ROW = RESERVED = "image", "weight", "row"


class BatchParts(NamedTuple):
    """What a batch consists of; `weights` and `rows` are None if they were not asked for.

    `heads` are the names of the labels where they are not those that the stream reads.
    """

    images: Any
    labels: list[Any]
    weights: Any = None
    rows: Any = None
    heads: tuple[str, ...] | None = None

    def map(self, images: Callable[[Any], Any], others: Callable[[Any], Any]) -> BatchParts:
        """Return the parts with `images` called for the images and `others` for all else."""
        after = self.weights, self.rows
        weights, rows = (None if part is None else others(part) for part in after)
        labels = [others(y) for y in self.labels]
        return BatchParts(images(self.images), labels, weights, rows, self.heads)


@dataclass(frozen=True)
class BatchForm:
    """Puts parts together as the table above says; `heads` are the names of the labels."""

    heads: tuple[str, ...]
    as_dict: bool

    @classmethod
    def of(cls, heads: Sequence[str], *, as_dict: bool) -> BatchForm:
        """Return the form for labels with these names.

        Raises OptionError where a name of a head is that of another part.
        """
        taken = [name for name in heads if name in RESERVED]
        if as_dict and taken:
            raise OptionError(
                f"as_dict=True has no place for a label called {taken[0]!r}, which is the name of "
                "another part of a batch: take batches without as_dict"
            )
        return cls(tuple(heads), as_dict)

    def labels(self, labels: list[Any], heads: tuple[str, ...] | None = None) -> Any:
        """Return the labels of a batch for NumPy and torch, with other names where they have."""
        if self.as_dict:
            return dict(zip(self.heads if heads is None else heads, labels, strict=True))
        return labels[0] if len(labels) == 1 else labels

    def for_arrays(self, parts: BatchParts) -> Batch:
        """Return a batch for NumPy and torch."""
        images, labels, weights, rows, heads = parts
        if self.as_dict:
            named = {IMAGE: images, **self.labels(labels, heads)}
            named |= {} if weights is None else {WEIGHT: weights}
            return named if rows is None else {**named, ROW: rows}
        after = [part for part in (weights, rows) if part is not None]
        if not labels and not after:
            return (images,)
        return (images, self.labels(labels), *after)

    def for_keras(self, parts: BatchParts) -> Batch:
        """Return a batch for TensorFlow and Keras; parts with rows need weights."""
        images, labels, weights, rows, heads = parts
        after = [part for part in (weights, rows) if part is not None]
        if self.as_dict:
            return (images, self.labels(labels, heads), *after)
        if not labels and not after:
            return images
        return (images, labels[0] if len(labels) == 1 else tuple(labels), *after)
