from __future__ import annotations

import json
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reader import ShardSet, open_shards
from reader.blocks.block_fetch import BlockFetcher
from reader.blocks.block_grid import BlockGrid
from reader.sets.mix import Mix
from shardio.errors import OptionError
from tests.reader.datasets import Made

FIXTURE = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=6
)
SIZES = (20, 17)


def mixed(
    made: Made,
    weights: tuple[float, ...] = (0.7, 0.3),
    sizes: tuple[int, ...] = SIZES,
    **options: Any,
) -> ShardSet:
    """Return a mix of two parts of a set."""
    mix = Mix.of(sizes, weights, options.get("steps"), options.get("until"))
    return replace(open_shards(made.glob), mix=mix)


def rows(batches: Any, count: int | None = None) -> list[int]:
    """Take `count` batches, or all, and return their rows."""
    taken = [next(batches) for _ in range(count)] if count is not None else list(batches)
    return [int(row) for batch in taken for row in batch[2]]


@FIXTURE
@given(
    shuffle=st.sampled_from(["exact", "window", "none"]),
    before=st.integers(1, 50).map(lambda n: 4 * n),
    after=st.integers(1, 50).map(lambda n: 4 * n),
    steps=st.integers(0, 20),
    world=st.sampled_from([1, 2]),
)
def test_restored_at_any_step_with_another_batch_size_and_world(
    large: Made, shuffle: Any, before: int, after: int, steps: int, world: int
) -> None:
    shards = mixed(large, sizes=(300, 700))
    options: dict[str, Any] = {"rows": True, "epochs": None, "shuffle": shuffle}
    if shuffle == "window":
        options |= {"lanes": 4, "block": 20, "window": 2}
    whole = rows(shards.batches(64, **options), 3 * len(shards.batches(64, **options)))
    first = shards.batches(before, **options)
    rows(first, steps)
    state = json.loads(json.dumps(first.state_dict()))
    workers = [shards.batches(after, worker=(rank, world), **options) for rank in range(world)]
    for worker in workers:
        worker.load_state_dict(state)
    length = len(whole) // 3
    place = state["epoch"] * length + state["samples"]
    end = (state["epoch"] + 1) * length
    while place + after * world <= min(end, len(whole)):
        parts = [rows(worker, 1) for worker in workers]
        wanted = whole[place : place + after * world]
        assert sorted(chain(*parts)) == sorted(wanted) if world > 1 else parts[0] == wanted
        place += after * world


@pytest.mark.parametrize("shuffle", ["exact", "window", "none"])
def test_other_weights_count_from_where_a_stream_was(made: Made, shuffle: Any) -> None:
    """Each member goes on with its next record, for all passes that follow."""
    options: dict[str, Any] = {"rows": True, "epochs": 1, "shuffle": shuffle}
    if shuffle == "window":
        options |= {"block": 2, "window": 2}
    batches = mixed(made).batches(10, **options)
    seen = rows(batches, 7)
    other = mixed(made, (0.2, 0.8)).batches(5, **options)
    other.load_state_dict(batches.state_dict())
    after = [rows(other) for _ in range(2)]
    again = mixed(made, (0.2, 0.8)).batches(5, **options)
    again.load_state_dict(json.loads(json.dumps(other.state_dict())))
    after.append(rows(again))
    length = len(mixed(made).batches(1, **options))
    assert [len(part) for part in after[1:]] == [length // 5 * 5] * 2
    for member, (begin, size) in enumerate(zip((0, 20), SIZES, strict=True)):
        own = set(made.rows[begin : begin + size].tolist())
        first = [row for row in seen + after[0] if row in own]
        # Whole epochs of the member, one after the other.
        for start in range(0, len(first) - size + 1, size):
            assert set(first[start : start + size]) == own, member


def test_an_epoch_has_steps_or_goes_on_until_members_were_given_whole(made: Made) -> None:
    assert len(mixed(made, steps=3).batches(10)) == 3
    assert len(mixed(made, steps=3).batches(10, worker=(0, 2))) == 3
    assert len(mixed(made).batches(8)) == 1024 // 8
    few = (0.001, 0.999)
    assert len(mixed(made, few).batches(8)) == 1024 // 8
    assert len(mixed(made, few, until="all").batches(8)) == 20 * 1024 // 8
    assert set(rows(mixed(made, few, until="all").batches(8, rows=True))) == set(range(37))


def test_states_of_mixes_and_of_others_are_told_apart(made: Made) -> None:
    plain, mix = open_shards(made.glob).batches(5), mixed(made).batches(5)
    with pytest.raises(OptionError, match="of a stream without a mix, and this one has a mix"):
        mix.load_state_dict(plain.state_dict())
    with pytest.raises(OptionError, match="of a stream with a mix, and this one has none"):
        plain.load_state_dict(mix.state_dict())
    assert set(mix.state_dict()) - set(plain.state_dict()) == {
        "places", "given", "round", "position",
    }  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"places": "717 306"},
        {"places": "1024"},
        {"places": "a b"},
        {"given": "0"},
        {"given": "0 -1"},
        {"round": -1},
        {"position": -1},
        {"position": "1"},
    ],
)
def test_what_is_no_state_of_a_mix_is_refused(made: Made, change: dict[str, Any]) -> None:
    batches = mixed(made).batches(5)
    with pytest.raises(OptionError, match="no state of"):
        batches.load_state_dict({**batches.state_dict(), **change})


@pytest.mark.parametrize("block", [3, 4, 17, 30])
def test_blocks_of_members_are_read_once_in_their_epochs(
    made: Made, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    """From storage where each is a request; blocks of one member hold no record of another."""
    shards = mixed(made, (0.5, 0.5))
    mix = shards.mix
    assert mix is not None
    remote = replace(open_shards(f"file://{made.glob}"), mix=mix)
    read: list[int] = []
    plain = BlockFetcher._read

    def counted(self: BlockFetcher, number: int, place: int) -> None:
        read.append(number)
        plain(self, number, place)

    monkeypatch.setattr(BlockFetcher, "_read", counted)
    options: dict[str, Any] = {"shuffle": "window", "block": block, "window": 1, "rows": True}
    found = rows(remote.batches(8, **options))
    assert found == rows(shards.batches(8, **options))
    blocks = [-(-size // block) for size in SIZES]
    # 512 records of each; the first blocks of what comes next are read ahead.
    epochs = [512 / size for size in SIZES]
    most = sum((epoch + 1) * count for epoch, count in zip(epochs, blocks, strict=True))
    assert set(read) == set(range(sum(blocks)))
    assert len(read) <= most


@given(st.lists(st.integers(1, 60), min_size=1, max_size=5), st.integers(1, 70))
def test_a_grid_of_blocks_begins_with_each_member(sizes: list[int], size: int) -> None:
    begins = [sum(sizes[:member]) for member in range(len(sizes))]
    grid = BlockGrid(sum(sizes), size, begins)
    blocks = [
        list(range(first, min(first + size, begin + count)))
        for begin, count in zip(begins, sizes, strict=True)
        for first in range(begin, begin + count, size)
    ]
    ids = np.arange(sum(sizes))
    assert grid.blocks == len(blocks)
    assert [grid.records(number).tolist() for number in range(len(blocks))] == blocks
    assert grid.of(ids).tolist() == [n for n, block in enumerate(blocks) for _ in block]
    assert grid.within(ids).tolist() == [place for block in blocks for place in range(len(block))]


@pytest.mark.parametrize("weights", [3, "ab", {1: 0.5, 2: 0.5}, {0.3, 0.7}])
def test_weights_that_are_no_list_are_refused(weights: Any) -> None:
    with pytest.raises(OptionError, match="weights is a list with the weight of each member"):
        Mix.of(SIZES, weights, None, None)


def test_steps_may_be_numbers_of_numpy() -> None:
    steps: Any = np.int64(5)
    assert Mix.of(SIZES, None, steps, None).steps == 5
