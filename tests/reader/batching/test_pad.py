from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reader import open_shards
from shardio.errors import OptionError
from tests.reader.datasets import Made

FIXTURE = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40
)
RECORDS = 37


@FIXTURE
@given(
    size=st.integers(1, 45),
    world=st.integers(1, 4),
    shuffle=st.sampled_from(["exact", "window", "none"]),
)
def test_all_records_come_once_and_the_weights_are_of_the_records_alone(
    made: Made, size: int, world: int, shuffle: str
) -> None:
    shards = open_shards(made.glob)
    by_row = {int(row): index for index, row in enumerate(made.rows)}
    options: dict[str, Any] = {"shuffle": shuffle, "rows": True, "pad": True, "dtype": "uint8"}
    if shuffle == "window":
        options |= {"block": 4, "window": 2}
    seen: list[int] = []
    steps = []
    for rank in range(world):
        batches = list(shards.batches(size, worker=(rank, world), **options))
        steps.append(len(batches))
        for x, ys, weights, rows in batches:
            assert x.shape == (size, 2, 3, 3)
            assert weights.dtype == np.float32
            real = weights > 0
            # So that a mean over all positions is one over the records.
            assert (weights[real] == np.float32(steps[0] * world * size / RECORDS)).all()
            # What was filled up stands at the end, is black, and has no row.
            assert (np.diff(weights) <= 0).all()
            assert not x[~real].any()
            assert (rows[~real] == -1).all()
            assert all(y.shape == (size,) and not y[~real].any() for y in ys)
            ids = [by_row[int(row)] for row in rows[real]]
            assert np.array_equal(x[real], made.images[ids])
            assert np.array_equal(ys[0][real], made.labels[ids, 0])
            seen += ids
    assert steps == [-(-RECORDS // (size * world))] * world
    assert sorted(seen) == list(range(RECORDS))


@FIXTURE
@given(st.integers(1, 12), st.integers(1, 3), st.integers(0, 9))
def test_the_records_of_all_workers_are_a_prefix_of_the_order(
    made: Made, size: int, world: int, steps: int
) -> None:
    shards = open_shards(made.glob)
    order = [int(r) for *_, rows in shards.batches(1, rows=True) for r in rows]
    options: dict[str, Any] = {"rows": True, "pad": True}
    workers = [shards.batches(size, worker=(rank, world), **options) for rank in range(world)]
    seen: list[int] = []
    for _ in range(min(steps, len(workers[0]))):
        for worker in workers:
            *_, rows = next(worker)
            seen += [int(row) for row in rows if row >= 0]
        assert seen == order[: len(seen)]
        assert workers[0].state_dict()["samples"] == len(seen)


def test_one_hot_labels_of_what_was_filled_up_are_class_zero(made: Made) -> None:
    *_, (_, ys, weights) = open_shards(made.glob).batches(20, pad=True, one_hot=True)
    assert weights.tolist() == [np.float32(40 / 37)] * 17 + [0] * 3
    assert [float(y.sum()) for y in ys] == [20, 20]
    assert all((y[17:, 0] == 1).all() for y in ys)


def test_several_workers_that_keep_the_remainder_are_told_of_pad(made: Made) -> None:
    with pytest.raises(OptionError, match="pad=True"):
        open_shards(made.glob).batches(5, worker=(0, 2), drop_remainder=False)


def test_tensorflow_and_torch_get_the_weights(made: Made) -> None:
    tf = pytest.importorskip("tensorflow")
    torch = pytest.importorskip("torch")
    shards = open_shards(made.glob)
    expected = [w.tolist() for _, _, w in shards.batches(20, pad=True)]
    dataset = shards.to_tf_dataset(20, pad=True)
    assert dataset.element_spec[2] == tf.TensorSpec((20,), tf.float32)
    assert [w.numpy().tolist() for _, _, w in dataset] == expected
    tensors = list(shards.to_torch(20, pad=True))
    assert [w.tolist() for _, _, w in tensors] == expected
    assert all(w.dtype == torch.float32 for _, _, w in tensors)
