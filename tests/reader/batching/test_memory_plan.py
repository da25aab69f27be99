from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reader import BatchOptions, open_shards
from reader.batching.memory import Pipeline, Sizes
from shardio.errors import OptionError
from shardio.format.label import Label
from shardio.format.layout import RecordLayout
from shardio.sizes import in_words, parse_bytes
from tests.reader.datasets import Made

LAYOUT = RecordLayout(32 * 128 * 3, ("y0", "y1"))
LABELS = (Label("y0", 21_000), Label("y1", 21_000))
PIPELINE = Pipeline(threads=1, held=2, prefetch=(1, 2, 8))
SIZES = Sizes(10**6, LAYOUT, LABELS, PIPELINE)


@pytest.mark.parametrize("text", ["", "MB", "-1", "1e9", "5 XB", "1ib", 0, -5, 1.5, True, "0"])
def test_what_is_no_amount_is_refused(text: Any) -> None:
    with pytest.raises(OptionError, match="memory"):
        BatchOptions(memory=text)


@given(
    st.integers(1, 3 * 10**9),
    st.integers(1, 600),
    st.sampled_from(["exact", "window", "none"]),
    st.sampled_from(["uint8", "float32"]),
    st.booleans(),
)
def test_the_plan_stays_within_the_bound_or_says_what_is_needed(
    memory: int, size: int, shuffle: str, dtype: str, one_hot: bool
) -> None:
    choices: dict[str, Any] = {
        "batch_size": size,
        "shuffle": shuffle,
        "dtype": dtype,
        "one_hot": one_hot,
    }
    options = BatchOptions(memory=memory, **choices)
    try:
        plan = SIZES.plan(options)
    except OptionError as error:
        needed = parse_bytes(str(error).split("needs ")[1].split(" = ")[0])
        assert needed is not None
        assert needed > memory
        enough = BatchOptions(memory=needed, **choices)
        plan = SIZES.plan(enough)
        assert plan.total <= needed
    else:
        assert plan.total <= memory
        assert 1 <= plan.prefetch <= 8


def test_more_memory_is_a_wider_window_and_a_deeper_prefetch() -> None:
    plans = [
        replace(SIZES, records=10**7).plan(BatchOptions(memory=m, shuffle="window"))
        for m in ("64MB", "256MB", "4GB")
    ]
    assert plans[0].window < plans[1].window < plans[2].window
    assert plans[0].prefetch <= plans[1].prefetch <= plans[2].prefetch == 8


def test_the_sum_does_not_grow_with_the_set() -> None:
    options = BatchOptions(shuffle="window")
    plans = [replace(SIZES, records=n).plan(options) for n in (10**5, 10**9)]
    assert plans[0] == plans[1]


def test_a_given_window_is_checked_and_never_changed() -> None:
    options = BatchOptions(memory="1GB", shuffle="window", window=3, block=100)
    plan = SIZES.plan(options)
    assert (plan.window, plan.block) == (3, 100)
    with pytest.raises(OptionError, match="a smaller window or block"):
        SIZES.plan(BatchOptions(memory="1GB", shuffle="window", window=900))


def test_a_stream_says_what_it_owns_and_refuses_too_little(made: Made) -> None:
    shards = open_shards(made.glob)
    memory = shards.batches(5).memory
    assert memory.total == sum(memory.parts.values())
    assert str(memory).startswith(in_words(memory.total))
    with pytest.raises(OptionError, match="is too little: this stream needs"):
        shards.batches(5, memory="1kB")


def test_a_resumed_window_is_the_one_of_its_state(made: Made) -> None:
    shards = open_shards(made.glob)
    options: dict[str, Any] = {"shuffle": "window", "block": 2, "rows": True}
    first = shards.batches(5, **options, window=3)
    next(first)
    state = first.state_dict()
    rest = [int(row) for batch in first for row in batch[2]]
    again = shards.batches(5, **options, memory="80MB")
    again.load_state_dict(state)
    assert again.state_dict()["window"] == 3
    assert [int(row) for batch in again for row in batch[2]] == rest
