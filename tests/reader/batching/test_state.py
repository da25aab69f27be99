from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reader import open_shards
from reader.batching.batch_maker import BatchMaker
from reader.batching.batches import Batches
from reader.batching.options import Shuffle
from shardio.errors import DatasetError, OptionError
from tests.reader.datasets import Made, write_dataset

FIXTURE = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=12
)


def rows(batches: Batches, count: int | None = None) -> list[int]:
    """Take `count` batches, or all, and return their rows."""
    taken = [next(batches) for _ in range(count)] if count is not None else list(batches)
    return [int(row) for batch in taken for row in batch[2]]


def take(batches: Batches, count: int) -> list[int]:
    """Take `count` batches, or those that are left of the pass."""
    return [int(row) for batch in islice(batches, count) for row in batch[2]]


@FIXTURE
@given(
    shuffle=st.sampled_from(["exact", "window", "none"]),
    size=st.integers(1, 37),
    drop=st.booleans(),
)
def test_restored_at_every_step_the_rest_is_equal(
    made: Made, shuffle: Shuffle, size: int, drop: bool
) -> None:
    shards = open_shards(made.glob)
    options: dict[str, Any] = {
        "shuffle": shuffle,
        "drop_remainder": drop,
        "rows": True,
        "epochs": 2,
        "start_epoch": 1,
    }
    whole = shards.batches(size, **options)
    states = [json.loads(json.dumps(whole.state_dict()))]
    steps = []
    for batch in whole:
        steps.append([int(row) for row in batch[2]])
        states.append(json.loads(json.dumps(whole.state_dict())))
    following = rows(whole)
    for step, state in enumerate(states):
        again = shards.batches(size, **options)
        again.load_state_dict(state)
        # The state at the end of a pass begins the next one.
        rest = [row for rows in steps[step:] for row in rows] or following
        assert rows(again) == rest


@FIXTURE
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 3), st.integers(1, 3))
def test_the_samples_go_on_with_another_batch_size_and_world(
    made: Made, before: int, after: int, steps: int, world: int
) -> None:
    shards = open_shards(made.glob)
    first = shards.batches(before, rows=True, seed=9)
    seen = rows(first, steps)
    state = first.state_dict()
    order = rows(shards.batches(1, rows=True, seed=9))
    workers = [shards.batches(after, rows=True, worker=(rank, world)) for rank in range(world)]
    for worker in workers:
        worker.load_state_dict(state)
    while len(seen) + after * world <= 37:
        seen += [row for worker in workers for row in rows(worker, 1)]
    assert seen == order[: len(seen)]


@FIXTURE
@given(st.integers(1, 9), st.integers(1, 4), st.sampled_from(["exact", "none"]))
def test_what_all_workers_have_seen_is_a_prefix_of_the_order(
    made: Made, size: int, world: int, shuffle: Shuffle
) -> None:
    shards = open_shards(made.glob)
    order = rows(shards.batches(1, rows=True, shuffle=shuffle))
    workers = [
        shards.batches(size, rows=True, shuffle=shuffle, worker=(rank, world))
        for rank in range(world)
    ]
    assert {len(worker) for worker in workers} == {37 // (size * world)}
    seen: list[int] = []
    for _ in range(len(workers[0])):
        seen += [row for worker in workers for row in rows(worker, 1)]
        assert seen == order[: len(seen)]
    assert [next(worker, None) for worker in workers] == [None] * world


@FIXTURE
@given(
    size=st.sampled_from([(4, 4), (8, 4), (4, 8), (5, 5)]),
    epochs=st.sampled_from([(1, 1), (2, 2), (2, 1), (1, 2), (None, 2)]),
    start=st.sampled_from([(0, 0), (1, 1), (1, 0)]),
    drop=st.tuples(st.booleans(), st.booleans()),
    steps=st.tuples(st.integers(0, 9), st.integers(0, 1)),
)
def test_processes_of_a_loader_go_on_with_the_steps_that_are_left_or_not_at_all(
    made: Made, size: Any, epochs: Any, start: Any, drop: Any, steps: Any
) -> None:
    """Where each of two makes every other step, other options would deal the steps anew."""
    shards = open_shards(made.glob)

    def parts(which: int) -> list[Batches]:
        options = shards.options(
            size[which],
            rows=True,
            epochs=epochs[which],
            start_epoch=start[which],
            drop_remainder=drop[which],
        )
        return [Batches(shards, options, every=(number, 2)) for number in range(2)]

    before, after = parts(0), parts(1)
    # Of a loader, whose processes take turns: the first one may be one step ahead.
    counts = (sum(steps), steps[0])
    seen = [row for part, count in zip(before, counts, strict=True) for row in take(part, count)]
    states = [part.state_dict() for part in before]
    with pytest.raises(OptionError, match=r"made 1 of 2, .*makes all steps"):
        shards.batches(size[0], epochs=epochs[0], start_epoch=start[0]).load_state_dict(states[1])
    try:
        for part, state in zip(after, states, strict=True):
            part.load_state_dict(state)
    except OptionError:
        assert [each[0] for each in (size, epochs, start, drop)] != [
            each[1] for each in (size, epochs, start, drop)
        ]
        return
    rest = [row for part in after for row in take(part, 4)]
    order = shards.batches(
        size[0], rows=True, epochs=None, start_epoch=start[0], drop_remainder=drop[0]
    )
    whole = take(order, sum(counts) + 8)
    assert sorted(seen + rest) == sorted(whole[: len(seen) + len(rest)])


def test_a_state_keeps_its_seed_and_order(made: Made) -> None:
    shards = open_shards(made.glob)
    first = shards.batches(5, rows=True, seed=77, shuffle="exact")
    rows(first, 2)
    other = shards.batches(5, rows=True, seed=1, shuffle="none")
    other.load_state_dict(first.state_dict())
    assert rows(other) == rows(first)


def test_the_state_counts_what_was_given_not_what_was_made_ahead(made: Made) -> None:
    batches = open_shards(made.glob).batches(5)
    assert batches.state_dict()["samples"] == 0
    next(batches)
    assert batches.state_dict()["samples"] == 5


def test_an_ended_stream_starts_again_from_a_state(made: Made) -> None:
    batches = open_shards(made.glob).batches(5, rows=True)
    rows(batches, 2)
    state = batches.state_dict()
    rest = rows(batches)
    batches.load_state_dict(state)
    assert rows(batches) == rest != []


def test_a_state_from_before_the_first_epoch_is_refused(made: Made) -> None:
    shards = open_shards(made.glob)
    early = shards.batches(5, start_epoch=2)
    with pytest.raises(OptionError, match=r"in epoch 2, and this .* give it start_epoch=2, or"):
        shards.batches(5, start_epoch=3).load_state_dict(early.state_dict())


def test_a_state_of_another_set_is_refused(made: Made, tmp_path: Path) -> None:
    state = open_shards(made.glob).batches(5).state_dict()
    other = write_dataset(tmp_path / "other", seed=3)
    part = f"{made.folder}/train-0000[0-3]-*"
    for source in (other.glob, part):
        with pytest.raises(DatasetError, match="another set of shards"):
            open_shards(source).batches(5).load_state_dict(state)


@pytest.mark.parametrize(
    "change", [{"version": 2}, {"samples": "5"}, {"samples": 38}, {"samples": -1}, {"epoch": -1}]
)
def test_what_is_no_state_is_refused(made: Made, change: dict[str, Any]) -> None:
    batches = open_shards(made.glob).batches(5)
    with pytest.raises(OptionError):
        batches.load_state_dict({**batches.state_dict(), **change})
    with pytest.raises(OptionError, match="version, dataset"):
        batches.load_state_dict({})


@pytest.mark.parametrize("worker", [(1, 1), (-1, 2), (0, 0)])
def test_a_rank_outside_the_world_is_refused(made: Made, worker: tuple[int, int]) -> None:
    with pytest.raises(OptionError, match=r"\(rank, world\)"):
        open_shards(made.glob).batches(5, worker=worker)


def test_several_workers_drop_the_remainder(made: Made) -> None:
    with pytest.raises(OptionError, match="drop_remainder=True"):
        open_shards(made.glob).batches(5, worker=(0, 2), drop_remainder=False)


@pytest.mark.parametrize("one_hot", [True, False])
def test_an_interrupted_stream_leaves_out_nothing(
    made: Made, monkeypatch: pytest.MonkeyPatch, one_hot: bool
) -> None:
    """Whatever the interrupt interrupts, the same batch comes next."""
    options: dict[str, Any] = {"rows": True, "one_hot": one_hot, "epochs": 3}
    expected = rows(open_shards(made.glob).batches(4, **options))
    left = 0

    def interrupted(action: Any) -> Any:
        def call(*arguments: Any) -> Any:
            nonlocal left
            left -= threading.current_thread() is threading.main_thread()
            if left == 0:
                raise KeyboardInterrupt
            return action(*arguments)

        return call

    for number in range(1, 20):
        left = number
        seen: list[int] = []
        stream = open_shards(made.glob).batches(4, **options)
        with monkeypatch.context() as patch:
            patch.setattr(ThreadPoolExecutor, "submit", interrupted(ThreadPoolExecutor.submit))
            patch.setattr(BatchMaker, "begin", interrupted(BatchMaker.begin))
            with pytest.raises(KeyboardInterrupt):
                seen.extend(row for batch in stream for row in batch[2].tolist())
        # At once, and not when the batch would be due that was begun.
        assert one_hot or len(seen) == 4 * max(0, number - stream.memory.prefetch - 1)
        assert seen + rows(stream) == expected
