"""A `tf.data.Dataset` that measures how long whoever asks it for a batch has to wait."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def is_dataset(batches: object) -> bool:
    """Return whether these are a `tf.data.Dataset`, and not those of several replicas."""
    return isinstance(batches, tf.data.Dataset)


class TimedDataset:
    """`dataset` with the same elements, which come when they are asked for.

    Both clocks are read by the one that asks, within TensorFlow: the first before the element is
    taken from `dataset`, the second after.
    """

    def __init__(self, dataset: tf.data.Dataset) -> None:
        with tf.device("/CPU:0"):
            self._seconds = tf.Variable(0.0, dtype=tf.float64, trainable=False)
        clock = tf.autograph.experimental.do_not_convert(lambda _: tf.timestamp())
        begun = tf.data.Dataset.range(1).repeat().map(clock)
        timed = tf.data.Dataset.zip((begun, dataset)).map(self._took)
        settings = tf.data.Options()
        # Asked for ahead, an element would not be waited for.
        settings.experimental_optimization.inject_prefetch = False
        self.batches = timed.with_options(settings)

    @property
    def seconds(self) -> float:
        """Seconds that were waited so far."""
        return float(self._seconds.numpy())

    @tf.autograph.experimental.do_not_convert  # type: ignore[untyped-decorator]
    def _took(self, begun: tf.Tensor, element: Any) -> Any:
        self._seconds.assign_add(tf.timestamp() - begun)
        return element
