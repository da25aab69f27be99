"""The permutation: its laws, its evenness, and orders that may never change."""

from __future__ import annotations

from collections import Counter
from math import factorial, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shardio.permutation import MAX_SIZE, Permutation

LARGE = [10**9, 2**40, 2**40 + 1, MAX_SIZE - 1, MAX_SIZE]


def order(size: int, seed: int, stream: int | str = 0) -> list[int]:
    return [int(value) for value in Permutation(size, seed, stream)(np.arange(size))]


@pytest.mark.parametrize("seed", [0, 1, 2**63 - 1])
def test_every_small_size_is_permuted(seed: int) -> None:
    for size in range(260):
        assert sorted(order(size, seed)) == list(range(size))


@settings(deadline=None, max_examples=150)
@given(st.integers(1, 3000), st.integers(0, 2**63 - 1), st.integers(0, 99) | st.text(max_size=9))
def test_every_size_is_permuted(size: int, seed: int, stream: int | str) -> None:
    assert sorted(order(size, seed, stream)) == list(range(size))


@pytest.mark.parametrize("size", [2**17 - 1, 2**17, 2**17 + 1])
def test_sizes_around_a_power_of_two_are_permuted(size: int) -> None:
    found = Permutation(size, 3)(np.arange(size))
    assert (np.bincount(found, minlength=size) == 1).all()


@pytest.mark.parametrize("size", LARGE)
def test_large_sizes_are_one_to_one_and_in_range_on_a_sample(size: int) -> None:
    rng = np.random.default_rng(0)
    edges = [np.arange(1000), np.arange(size - 1000, size)]
    positions = np.unique(np.concatenate([*edges, rng.integers(0, size, 50_000)]))
    values = Permutation(size, 1)(positions)
    assert values.dtype == np.int64
    assert values.min() >= 0
    assert values.max() < size
    assert len(np.unique(values)) == len(positions)
    # Spread over the range: each tenth holds a tenth, give or take six deviations.
    tenths = np.bincount((values // (size // 10 + 1)).astype(int), minlength=10)
    expected = len(positions) / 10
    assert np.abs(tenths - expected).max() < 6 * sqrt(expected)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_the_value_at_a_position_does_not_depend_on_the_call(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 30_000) | st.sampled_from(LARGE))
    permutation = Permutation(size, data.draw(st.integers(0, 2**32)))
    first = data.draw(st.integers(0, size - 1))
    positions = np.arange(first, min(size, first + data.draw(st.integers(1, 20_000))))
    whole = permutation(positions)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(positions)), max_size=4)))
    parts = [permutation(part) for part in np.split(positions, cuts)]
    assert np.array_equal(np.concatenate(parts), whole)
    assert np.array_equal(permutation(positions[::-1]), whole[::-1])
    assert permutation(positions[:1])[0] == whole[0]


def test_the_shape_and_the_positions_are_kept() -> None:
    permutation = Permutation(100, 5)
    positions = np.arange(24, dtype=np.int32).reshape(2, 3, 4)
    before = positions.copy()
    values = permutation(positions)
    assert values.shape == (2, 3, 4)
    assert np.array_equal(values.ravel(), permutation(np.arange(24)))
    assert np.array_equal(positions, before)
    assert permutation(np.array(7)).shape == ()
    assert permutation(np.array([], dtype=np.int64)).shape == (0,)


def test_seeds_and_streams_give_different_orders() -> None:
    names: list[tuple[int, int | str]] = [
        (seed, stream) for seed in range(20) for stream in range(20)
    ]
    names += [(1, "split train"), (1, "split val"), (1, "split a"), (1, "")]
    assert len({tuple(order(50, *name)) for name in names}) == len(names)


@pytest.mark.parametrize("position", [-1, 10, 2**40])
def test_positions_outside_are_refused(position: int) -> None:
    with pytest.raises(IndexError, match="0 to 9"):
        Permutation(10, 0)(np.array([0, position]))


@pytest.mark.parametrize("size", [-1, MAX_SIZE + 1])
def test_sizes_outside_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match="size must be"):
        Permutation(size, 0)


def test_nothing_stands_in_an_empty_permutation() -> None:
    assert order(0, 1) == []
    with pytest.raises(IndexError):
        Permutation(0, 1)(np.array([0]))


def deviations(counts: list[int], cells: int, freedom: int, scale: float = 1.0) -> float:
    """Chi-square of counts that should be even, in deviations from its mean."""
    expected = sum(counts) / cells
    chi = sum((count - expected) ** 2 for count in counts) / expected
    chi += expected * (cells - len(counts))
    return (chi * scale - freedom) / sqrt(2 * freedom)


@pytest.mark.parametrize(("size", "seeds"), [(2, 800), (3, 800), (4, 1200), (5, 3600)])
def test_every_order_of_a_small_size_is_as_likely(size: int, seeds: int) -> None:
    counts = Counter(tuple(order(size, seed)) for seed in range(seeds))
    cells = factorial(size)
    assert deviations(list(counts.values()), cells, cells - 1) < 4


@pytest.mark.parametrize(
    ("size", "seeds"), [(5, 1500), (6, 2000), (7, 800), (8, 800), (16, 600), (30, 600)]
)
def test_every_value_is_as_likely_at_every_position(size: int, seeds: int) -> None:
    counts = np.zeros((size, size), dtype=np.int64)
    positions = np.arange(size)
    for seed in range(seeds):
        counts[positions, Permutation(size, seed, "even")(positions)] += 1
    freedom = (size - 1) ** 2
    found = deviations(counts.ravel().tolist(), size * size, freedom, (size - 1) / size)
    assert found < 4


def test_neighbours_do_not_stay_together() -> None:
    values = Permutation(100_000, 9)(np.arange(100_000))
    steps = np.abs(np.diff(values))
    # Of 99,999 steps of a random order, two are expected to be 1.
    assert (steps == 1).sum() < 15
    assert abs(float(np.corrcoef(values[:-1], values[1:])[0, 1])) < 0.02


PINNED: dict[tuple[int, int, int | str], list[int]] = {
    (1, 0, 0): [0],
    (2, 1, 0): [0, 1],
    (5, 0, 0): [4, 1, 2, 3, 0],
    (10, 0, 0): [3, 6, 9, 8, 2, 4, 7, 1, 5, 0],
    (10, 0, 1): [2, 0, 6, 7, 5, 3, 4, 8, 1, 9],
    (10, 1, 0): [8, 5, 2, 7, 4, 1, 0, 9, 3, 6],
    (10, 9223372036854775807, "split train"): [8, 4, 9, 5, 6, 7, 0, 2, 1, 3],
    (1000, 7, "split val"): [384, 644, 601, 393, 151, 433, 91, 10, 17, 309],
    (1000000000, 0, 3): [
        359465120,
        633149001,
        797839094,
        535885669,
        251723402,
        756069044,
        811765205,
        865796024,
        277072052,
        928487343,
    ],
    (1099511627776, 12345, 0): [
        672242277876,
        822010985706,
        1098203279756,
        1013637319624,
        617553895861,
        558603978644,
        691476366033,
        161531636571,
        857722013920,
        370175270108,
    ],
    (4611686018427387904, 1, "x"): [
        3717505878373138920,
        2410145126309321045,
        4502955712878393546,
        2732567475775917652,
        3644596315169084723,
        3826138063053357252,
        3233287501273567454,
        3526381260769485242,
        565937767817160652,
        4609665936905705027,
    ],
}


@pytest.mark.parametrize("name", PINNED)
def test_orders_are_pinned(name: tuple[int, int, int | str]) -> None:
    size = name[0]
    assert Permutation(*name)(np.arange(min(size, 10))).tolist() == PINNED[name]
