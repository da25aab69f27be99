"""Dealing rows to shards."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from converter.shards.plan import ShardPlan, plan_shards
from shardio.errors import OptionError

STRIDE = 1000


def deal(
    split: NDArray[np.int32] | list[int],
    splits: tuple[str, ...] = ("train",),
    *,
    shards: int | None = None,
    shard_size: int | None = None,
    seed: int = 0,
    stride: int = STRIDE,
) -> ShardPlan:
    return plan_shards(
        np.asarray(split, dtype=np.int32),
        splits,
        stride=stride,
        shards=shards,
        shard_size=shard_size,
        seed=seed,
    )


SPLITS = ("test", "train", "val")
tables = st.lists(st.integers(0, 2), min_size=1, max_size=300)
amounts = st.one_of(
    st.just((None, None)),
    st.tuples(st.integers(1, 40), st.none()),
    st.tuples(st.none(), st.integers(1, 60 * STRIDE)),
)


@settings(deadline=None)
@given(tables, amounts, st.integers(0, 2**63 - 1))
def test_every_row_is_in_one_shard_of_its_split(
    split: list[int], amount: tuple[int | None, int | None], seed: int
) -> None:
    plan = deal(split, SPLITS, shards=amount[0], shard_size=amount[1], seed=seed)
    seen: list[int] = []
    for name in plan.names():
        rows = plan.rows_of(name)
        assert {SPLITS[split[row]] for row in rows} == {name.split}
        seen.extend(int(row) for row in rows)
    assert sorted(seen) == list(range(len(split)))


@settings(deadline=None)
@given(tables, amounts)
def test_shards_of_a_split_differ_by_one_row_at_most(
    split: list[int], amount: tuple[int | None, int | None]
) -> None:
    plan = deal(split, SPLITS, shards=amount[0], shard_size=amount[1])
    for planned in plan.splits:
        sizes = [len(plan.rows_of(n)) for n in plan.names() if n.split == planned.split]
        assert len(sizes) == planned.shards
        assert sum(sizes) == planned.rows
        assert max(sizes) - min(sizes) <= 1
        assert min(sizes) >= 1


@settings(deadline=None)
@given(tables, st.integers(1, 400))
def test_there_are_as_many_shards_as_asked_for(split: list[int], shards: int) -> None:
    plan = deal(split, SPLITS, shards=shards)
    used = len(set(split))
    assert len(plan.names()) == max(used, min(shards, len(split)))
    assert all(1 <= planned.shards <= planned.rows for planned in plan.splits)


@settings(deadline=None)
@given(st.integers(1, 300), st.integers(1, 300))
def test_no_shard_is_larger_than_asked_for(rows: int, records: int) -> None:
    plan = deal([0] * rows, shard_size=records * STRIDE + STRIDE - 1)
    sizes = [len(plan.rows_of(name)) for name in plan.names()]
    assert max(sizes) <= records
    assert len(sizes) == -(-rows // records)


@settings(deadline=None)
@given(tables, st.integers(0, 2**63 - 1), st.integers(1, 50))
def test_a_split_does_not_depend_on_the_others(split: list[int], seed: int, size: int) -> None:
    both = deal(split, SPLITS, shard_size=size * STRIDE, seed=seed)
    for code, name in enumerate(SPLITS):
        alone = np.flatnonzero(np.asarray(split) == code)
        if not len(alone):
            continue
        plan = deal([0] * len(alone), (name,), shard_size=size * STRIDE, seed=seed)
        for shard in plan.names():
            assert np.array_equal(both.rows_of(shard), alone[plan.rows_of(shard)])


@settings(deadline=None)
@given(st.integers(1, 300), st.integers(1, 20), st.integers(1, 20), st.integers(0, 99))
def test_the_order_does_not_depend_on_where_shards_end(
    rows: int, first: int, second: int, seed: int
) -> None:
    def order(shards: int) -> list[int]:
        plan = deal([0] * rows, shards=shards, seed=seed)
        return [int(row) for name in plan.names() for row in plan.rows_of(name)]

    assert order(first) == order(second)


def test_the_seed_changes_the_order() -> None:
    orders = {
        tuple(deal([0] * 50, shards=1, seed=seed).rows_of(name).tolist())
        for seed in range(20)
        for name in deal([0] * 50, shards=1).names()
    }
    assert len(orders) == 20


def test_splits_are_shuffled_differently() -> None:
    plan = deal([0, 1] * 50, ("a", "b"), shards=2)
    first, second = (plan.rows_of(name) // 2 for name in plan.names())
    assert not np.array_equal(first, second)


def test_the_order_is_pinned() -> None:
    """A stable order is a format: dealt otherwise, a restarted conversion would mix two orders."""
    plan = deal([0, 0, 1, 0, 0, 0, 1, 0, 1, 0], ("train", "val"), shards=4, seed=7)
    assert {str(name): plan.rows_of(name).tolist() for name in plan.names()} == PINNED


PINNED = {
    "train-00000-of-00003.tfrecord": [7, 4],
    "train-00001-of-00003.tfrecord": [5, 3],
    "train-00002-of-00003.tfrecord": [1, 0, 9],
    "val-00000-of-00001.tfrecord": [2, 6, 8],
}


def test_names_are_in_canonical_order() -> None:
    names = deal([2, 1, 0] * 40, SPLITS, shards=30).names()
    assert names == sorted(names)
    assert {name.split for name in names} == set(SPLITS)


@pytest.mark.parametrize(
    ("rows", "stride", "shards"),
    [(1, 12_000, 1), (256, 12_000, 1), (257, 12_000, 2), (100_000, 12_000, 16), (64, 10**9, 64)],
)
def test_without_a_wish_small_tables_are_cut_for_the_workers(
    rows: int, stride: int, shards: int
) -> None:
    assert len(deal([0] * rows, stride=stride).names()) == shards


def test_shards_have_256_mb_without_a_wish() -> None:
    plan = deal(np.zeros(1_000_000, np.int32), stride=12_000)
    assert len(plan.names()) == -(-1_000_000 // (256_000_000 // 12_000))


def test_too_many_shards_are_refused() -> None:
    with pytest.raises(OptionError, match=r"100,000 shards.*--shard-size"):
        deal(np.zeros(100_000, np.int32), shard_size=1)
