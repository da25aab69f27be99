from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reader.order.exact import plain_order


@given(st.integers(1, 30_000), st.integers(0, 2**63 - 1), st.integers(0, 5))
def test_an_epoch_holds_every_record_once(records: int, seed: int, epoch: int) -> None:
    ids = plain_order(records, "exact", seed).ids(epoch, 0, records)
    assert np.array_equal(np.sort(ids), np.arange(records))


@given(st.data(), st.integers(1, 20_000))
def test_the_order_does_not_depend_on_how_it_is_cut(data: st.DataObject, records: int) -> None:
    start = data.draw(st.integers(0, records))
    stop = data.draw(st.integers(start, records))
    whole = plain_order(records, "exact", 1).ids(0, 0, records)
    assert np.array_equal(plain_order(records, "exact", 1).ids(0, start, stop), whole[start:stop])


def test_epochs_and_seeds_differ() -> None:
    orders = [
        tuple(plain_order(500, "exact", seed).ids(epoch, 0, 500))
        for seed in (1, 2)
        for epoch in (0, 1)
    ]
    assert len(set(orders)) == 4


def test_none_is_as_stored_in_every_epoch() -> None:
    assert plain_order(10, "none", 1).ids(3, 2, 7).tolist() == [2, 3, 4, 5, 6]


def test_a_position_outside_is_refused() -> None:
    with pytest.raises(IndexError, match="positions 5 to 11 of 10"):
        plain_order(10, "exact", 1).ids(0, 5, 11)


def test_the_order_is_pinned() -> None:
    # A change here is a change of the format: a run that is resumed would see other samples.
    assert plain_order(10, "exact", 1).ids(0, 0, 10).tolist() == [8, 5, 2, 7, 4, 1, 0, 9, 3, 6]
