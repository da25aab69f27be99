"""What is measured again, and what is left out."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from reader.measure.budget import Budget, repeated
from shardio.measure.measured import Measured


def runs(rates: dict[str, list[int]]) -> dict[str, Callable[[], Measured]]:
    """Works that have such rates, one after the other; more passes than these are an error."""

    def of(left: list[int]) -> Callable[[], Measured]:
        return lambda: Measured(left.pop(0), 1.0, 0.0)

    return {name: of(each) for name, each in rates.items()}


@pytest.mark.parametrize(
    ("passes", "cold", "rate", "unsteady"),
    [
        ([100, 90], 50, 100, False),
        ([100, 50, 98], None, 100, False),  # the second was disturbed
        ([40, 100, 70], None, 100, True),
        ([100, 95, 300], 100, 300, True),  # as slow as cold, and not settled then either
        ([100, 95, 97], 100, 100, False),  # as slow as cold, and so it is
    ],
)
def test_passes_that_do_not_agree_are_measured_again(
    passes: list[int], cold: int | None, rate: int, unsteady: bool
) -> None:
    left = {"exact": list(passes), "none": [7, 7]}
    slower = None if cold is None else {"exact": Measured(cold, 1.0, 0.0)}
    found, doubtful = repeated(runs(left), Budget(60), slower)
    assert {name: each.images for name, each in found.items()} == {"exact": rate, "none": 7}
    assert doubtful == (["exact"] if unsteady else [])
    assert left == {"exact": [], "none": []}


def test_without_time_the_first_one_is_measured_once() -> None:
    budget = Budget(0)
    left = {"exact": [5], "none": [7]}
    found, doubtful = repeated(runs(left), budget)
    assert [*found] == ["exact"]
    assert doubtful == []
    assert budget.left_out == ["none"]
    assert left == {"exact": [], "none": [7]}


def test_no_stage_takes_more_than_a_part_of_what_is_left() -> None:
    assert Budget(8000).seconds(3) == 3
    assert 999 < Budget(8000).seconds(2000) <= 1000
    assert 0 < Budget(0).seconds(3) < 0.5
