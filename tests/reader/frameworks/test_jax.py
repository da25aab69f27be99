"""Batches go to JAX by device_put, which may share their memory: they must stay what they were."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest

from reader import open_shards
from reader.batching.options import Dtype, Shuffle
from tests.reader.datasets import Made

jax = pytest.importorskip("jax", reason="JAX is not installed")


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize(
    "shuffle",
    ["exact", *(pytest.param(order, marks=pytest.mark.slow) for order in ("window", "none"))],
)
def test_arrays_on_the_device_stay_when_their_batch_is_forgotten(
    made: Made, dtype: Dtype, shuffle: Shuffle
) -> None:
    """On the CPU they are the batch's own memory, which must not be used again before."""
    shards = open_shards(made.glob)
    options: dict[str, Any] = {"dtype": dtype, "shuffle": shuffle, "epochs": 6}
    expected = [(x.copy(), [y.copy() for y in ys]) for x, ys in shards.batches(8, **options)]
    kept = []
    for batch in shards.batches(8, **options):
        kept.append(jax.device_put(batch))
        del batch
        gc.collect(1)  # a batch is young
    assert len(kept) == len(expected) == 24
    for (x, ys), (image, labels) in zip(kept, expected, strict=True):
        assert isinstance(x, jax.Array)
        assert x.dtype == dtype
        assert (np.asarray(x) == image).all()
        assert all((np.asarray(y) == label).all() for y, label in zip(ys, labels, strict=True))


def test_a_jitted_step_takes_batches(made: Made) -> None:
    def add(total: Any, x: Any, ys: list[Any]) -> Any:
        return total + x.astype("float32").sum() + sum(y.sum() for y in ys)

    step = jax.jit(add)
    total = jax.numpy.zeros(())
    for x, ys in open_shards(made.glob).batches(5, dtype="uint8", drop_remainder=False):
        total = step(total, x, ys)
    assert float(total) == made.images.sum() + made.labels.sum()
