from __future__ import annotations

import numpy as np
import pytest

from reader.order.exact import plain_order
from reader.order.shuffle_quality import window_quality
from reader.order.window import WindowOrder


def blocks_in_batches(ids: list[int], size: int, block: int) -> float:
    """Return the mean number of blocks in the full batches of an order."""
    batches = [ids[at : at + size] for at in range(0, len(ids) - size + 1, size)]
    return float(np.mean([len({id_ // block for id_ in batch}) for batch in batches]))


@pytest.mark.parametrize(
    ("records", "batch", "block", "window", "lanes"),
    [
        (20_000, 128, 100, 16, 1),
        (20_000, 32, 100, 4, 1),
        (20_000, 128, 100, 8, 4),
        (20_000, 16, 50, 3, 2),
        (20_000, 64, 400, 1, 1),
        (1_000, 128, 300, 16, 1),
    ],
)
def test_the_figure_is_what_the_orders_do(
    records: int, batch: int, block: int, window: int, lanes: int
) -> None:
    found, exact = [], []
    for epoch in range(6):
        order = WindowOrder(records, 3, block, window, lanes)
        found.append(blocks_in_batches(order.share(epoch, 0, records, 0, 1).tolist(), batch, block))
        ids = plain_order(records, "exact", 3).ids(epoch, 0, records)
        exact.append(blocks_in_batches(ids.tolist(), batch, block))
    quality = window_quality(records, batch, block, window, lanes)
    # A batch at the edge of two windows mixes more blocks than one window has.
    assert quality.mixed == pytest.approx(np.mean(found), rel=0.12)
    assert quality.exact == pytest.approx(np.mean(exact), rel=0.03)
    assert 0 < quality.ratio <= 1


def test_a_window_of_everything_is_an_exact_shuffle() -> None:
    assert window_quality(10_000, 128, 100, 100, 1).ratio == 1
    assert window_quality(50, 128, 100, 16, 1).ratio == 1


def test_a_wider_window_is_better() -> None:
    ratios = [window_quality(10**6, 128, 300, window, 1).ratio for window in (1, 4, 16, 64)]
    assert ratios == sorted(ratios)
    assert ratios[0] < 0.02
