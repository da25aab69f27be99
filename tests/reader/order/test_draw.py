from __future__ import annotations

import hashlib
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from reader.order import alias
from reader.order.alias import COLUMN, fill_alias_table
from reader.order.draw import drawn_order
from shardio.errors import OptionError

LAWS = settings(deadline=None, max_examples=80)
# Also such that a few records have nearly all of the weight, or that most have none.
WEIGHTS = st.lists(
    st.one_of(
        st.just(0.0), st.just(1.0), st.floats(0, 1e9), st.integers(0, 5).map(lambda n: 10.0**n)
    ),
    min_size=1,
    max_size=200,
).filter(lambda weights: sum(weights) > 1e-9)


def table_of(weights: list[float] | NDArray[np.float64]) -> NDArray[np.uint32]:
    array = np.asarray(weights, dtype=np.float64)
    table = np.empty((len(array), 2), dtype=np.uint32)
    fill_alias_table(table, lambda start, stop: array[start:stop], lambda n: f"record {n}")
    return table


def units_of(table: NDArray[np.uint32]) -> list[int]:
    """Add up the units that each record has in all columns."""
    units = [0] * len(table)
    for record, (cut, other) in enumerate(table.tolist()):
        units[record] += cut
        units[other] += COLUMN - cut
    return units


@LAWS
@given(WEIGHTS, st.integers(1, 50))
def test_a_table_holds_the_weights(weights: list[float], piece: int) -> None:
    """In units of which there are n * 2^32, whatever the pieces that it was made in."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(alias, "_PIECE", piece)
        units = units_of(table_of(weights))
    assert sum(units) == len(weights) * COLUMN
    total = sum(map(Fraction, weights))
    for unit, weight in zip(units, weights, strict=True):
        exact = Fraction(weight) / total * len(weights) * COLUMN
        # Two units, and what floats cannot hold.
        assert abs(unit - exact) <= 2 + len(weights) * COLUMN // 2**48
        assert weight or not unit


@LAWS
@given(st.lists(st.integers(0, 1000), min_size=2, max_size=64).filter(any))
def test_weights_in_the_same_ratios_make_the_same_draws(weights: list[int]) -> None:
    """A power of two changes no digit of a float."""
    one, other = table_of(np.array(weights) * 2.0**-40), table_of(np.array(weights) * 2.0**300)
    assert np.array_equal(one, other)


def judge(weights: list[float], seed: int, epoch: int, position: int) -> int:
    """Draw for a position in plain whole numbers, from the same table."""
    digest = hashlib.shake_256(f"shardio:{seed}:{epoch} draws".encode()).digest(16)
    first, second = int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")
    number = (first + (position + 1) * 0x9E3779B97F4A7C15) % 2**64
    for key in (second, 0):
        number = (number ^ number >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        number = (number ^ number >> 27) * 0x94D049BB133111EB % 2**64
        number = number ^ number >> 31 ^ key
    column, rest = divmod(number * len(weights), 2**64)
    cut, other = table_of(weights)[column].tolist()
    return column if rest >> 32 < cut else int(other)


@LAWS
@given(WEIGHTS, st.integers(0, 2**63 - 1), st.integers(0, 9), st.data())
def test_draws_are_those_of_plain_arithmetic(
    weights: list[float], seed: int, epoch: int, data: st.DataObject
) -> None:
    position = data.draw(st.integers(0, len(weights) - 1))
    drawn = drawn_order(table_of(weights), seed).ids(epoch, position, position + 1)
    assert drawn.tolist() == [judge(weights, seed, epoch, position)]


@LAWS
@given(st.data(), st.integers(1, 20_000))
def test_the_draws_do_not_depend_on_how_they_are_cut(data: st.DataObject, records: int) -> None:
    start = data.draw(st.integers(0, records))
    stop = data.draw(st.integers(start, records))
    table = table_of(np.arange(1.0, records + 1))
    whole = drawn_order(table, 1).ids(0, 0, records)
    assert np.array_equal(drawn_order(table, 1).ids(0, start, stop), whole[start:stop])


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("kind", ["equal", "random", "one heavy", "few"])
def test_records_come_as_often_as_their_weights_say(kind: str, seed: int) -> None:
    """Chi-square over epochs: beyond 5 standard deviations is chance once in a million."""
    records, epochs = 500, 400
    random = np.random.default_rng(seed)
    weights = {
        "equal": np.ones(records),
        "random": random.random(records),
        "one heavy": np.where(np.arange(records) == 7, 300.0, 1.0),
        "few": np.where(np.arange(records) % 100 == 3, 1.0, 0.0),
    }[kind]
    order = drawn_order(table_of(weights), seed)
    drawn = np.concatenate([order.ids(epoch, 0, records) for epoch in range(epochs)])
    counts = np.bincount(drawn, minlength=records)
    assert not counts[weights == 0].any()
    expected = (weights / weights.sum() * records * epochs)[weights > 0]
    square = float(((counts[weights > 0] - expected) ** 2 / expected).sum())
    freedom = len(expected) - 1
    assert abs(square - freedom) < 5 * (2 * freedom) ** 0.5


def test_neighbouring_draws_and_epochs_have_nothing_in_common() -> None:
    """Pairs of neighbours, and the same position of neighbouring epochs, fill a grid evenly."""
    order = drawn_order(table_of(np.ones(8192)), 5)
    draws = np.stack([order.ids(epoch, 0, 8192) for epoch in range(40)]) // 512
    for pairs in (draws[:, :-1] * 16 + draws[:, 1:], draws[:-1] * 16 + draws[1:]):
        counts = np.bincount(pairs.ravel(), minlength=256)
        expected = pairs.size / 256
        square = float(((counts - expected) ** 2 / expected).sum())
        assert abs(square - 255) < 5 * (2 * 255) ** 0.5


def test_the_draws_are_pinned() -> None:
    # A change here is a change of the format: a run that is resumed would see other samples.
    table = table_of([1, 2, 3, 0, 5, 6, 0.5, 8, 1.25, 1 / 3])
    assert drawn_order(table, 1).ids(0, 0, 10).tolist() == [2, 5, 7, 4, 2, 2, 7, 5, 6, 2]


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ([1, -1], "the weight of record 1 is -1.0: weights are numbers from 0 on"),
        ([1, 2, np.nan], "record 2 is nan"),
        ([np.inf, 1], "record 0 is inf"),
        ([0, 0], "all weights are 0"),
        ([1e308, 1e308], "the sum of the weights is infinite"),
    ],
)
def test_wrong_weights_are_named(weights: list[float], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        table_of(weights)


_BUILD = """
import sys
import numpy as np
from reader.order.alias import fill_alias_table

def owned():
    for line in open("/proc/self/status"):
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024

path, records = sys.argv[1], int(sys.argv[2])
table = np.lib.format.open_memmap(path, "w+", np.uint32, (records, 2))
before = peak = owned()

def weights(start, stop):
    global peak
    peak = max(peak, owned())
    return np.random.default_rng(start).random(stop - start) ** 4

fill_alias_table(table, weights, str)
print(peak - before)
"""


def test_memory_does_not_grow_with_the_records(tmp_path: Path) -> None:
    """The table is a file that is mapped: its pages are the kernel's."""

    def built(records: int) -> int:
        command = [sys.executable, "-c", _BUILD, str(tmp_path / "table.npy"), str(records)]
        return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    # Of the larger one the table alone has 24 MB, and temporaries of all records far more.
    assert built(3_000_000) < built(600_000) + 8_000_000
