from __future__ import annotations

import copy
import operator
import pickle
import warnings
from collections.abc import Callable
from itertools import islice
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reader import open_shards
from shardio.errors import OptionError
from tests.collected import collect
from tests.reader.datasets import Made

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
loaders = pytest.importorskip("torch.utils.data")


def orders(batches: Any) -> list[int]:
    return [int(row) for _, _, rows in batches for row in rows]


def loader(dataset: Any, workers: int, start: str = "fork", **options: Any) -> Any:
    context = start if workers else None
    return loaders.DataLoader(
        dataset, batch_size=None, num_workers=workers, multiprocessing_context=context, **options
    )


def test_items_are_those_of_the_numpy_batches(made: Made) -> None:
    shards = open_shards(made.glob)
    for options in ({}, {"dtype": "uint8"}, {"one_hot": True, "drop_remainder": False}):
        ours = list(shards.batches(5, seed=3, rows=True, **options))
        theirs = list(shards.to_torch(5, seed=3, rows=True, **options))
        assert len(ours) == len(theirs)
        for (x, ys, rows), (tx, tys, trows) in zip(ours, theirs, strict=True):
            assert np.array_equal(tx.numpy(), x)
            assert tx.numpy().dtype == x.dtype
            for y, ty in zip(ys, tys, strict=True):
                assert ty.dtype == (torch.float32 if "one_hot" in options else torch.int64)
                assert np.array_equal(ty.numpy(), y)
            assert np.array_equal(trows.numpy(), rows)


def test_channels_first_is_a_view(made: Made) -> None:
    shards = open_shards(made.glob)
    (x, _), *_ = shards.to_torch(5, channels_first=True)
    (expected, _), *_ = shards.batches(5)
    assert x.shape == (5, 3, 2, 3)
    assert x.permute(0, 2, 3, 1).is_contiguous()
    assert np.array_equal(x.permute(0, 2, 3, 1).numpy(), expected)


def test_tensors_that_are_kept_are_never_overwritten(made: Made) -> None:
    kept = list(open_shards(made.glob).to_torch(3, dtype="uint8", epochs=9, shuffle="none"))
    for number, (x, _) in enumerate(kept):
        first = number % 12 * 3
        assert np.array_equal(x.numpy(), made.images[first : first + 3])


@pytest.mark.parametrize(
    ("workers", "start", "persistent"),
    [
        (0, "", False),
        (2, "fork", False),
        (2, "fork", True),
        pytest.param(2, "spawn", True, marks=pytest.mark.jobs),
    ],
)
def test_each_pass_of_a_loader_is_the_next_epoch_in_the_one_order(
    made: Made, workers: int, start: str, persistent: bool
) -> None:
    shards = open_shards(made.glob)
    expected = orders(shards.batches(5, rows=True, epochs=2))
    dataset = shards.to_torch(5, rows=True)
    batches = loader(dataset, workers, start, persistent_workers=persistent)
    assert len(batches) == 7
    assert [row for _ in range(2) for row in orders(batches)] == expected


@pytest.mark.parametrize("start", ["fork", pytest.param("forkserver", marks=pytest.mark.jobs)])
@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda dataset: pickle.loads(pickle.dumps(dataset))]
)
def test_a_copy_of_a_set_counts_its_own_passes_in_processes_too(
    made: Made, copied: Callable[[Any], Any], start: str
) -> None:
    shards = open_shards(made.glob)
    dataset = shards.to_torch(5, rows=True)
    again = copied(dataset)
    for number in range(3):
        expected = orders(shards.batches(5, rows=True, start_epoch=number))
        assert orders(loader(again, 2, start)) == expected
    assert orders(dataset) == orders(shards.batches(5, rows=True))


def test_a_set_that_was_read_can_be_sent_to_another_process(made: Made) -> None:
    shards = open_shards(made.glob)
    shards[3]
    again = pickle.loads(pickle.dumps(shards))
    assert again == shards
    assert np.array_equal(again[20][0], made.images[20])


def test_a_batch_that_no_set_fills_is_refused_at_once(made: Made) -> None:
    with pytest.raises(OptionError, match="not one batch of 38"):
        open_shards(made.glob).to_torch(38)


@pytest.mark.parametrize("workers", [0, 2])
def test_pinned_memory(made: Made, workers: int) -> None:
    """Where there is no accelerator PyTorch says so, and gives the batch as it is."""
    shards = open_shards(made.glob)
    pinned = torch.cuda.is_available()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "'pin_memory' argument is set as true")
        found = list(loader(shards.to_torch(5, dtype="uint8"), workers, pin_memory=True))
    expected = list(shards.batches(5, dtype="uint8"))
    assert len(found) == len(expected)
    for (x, ys), (image, labels) in zip(found, expected, strict=True):
        assert np.array_equal(x.numpy(), image)
        assert all(np.array_equal(y.numpy(), label) for y, label in zip(ys, labels, strict=True))
        assert x.is_pinned() == pinned


@pytest.mark.jobs  # each process of a fork server imports PyTorch
@pytest.mark.parametrize("persistent", [False, True])
def test_a_pass_that_was_left_early_takes_no_worker_out_of_step(
    made: Made, persistent: bool
) -> None:
    """A worker may be stopped before it has begun: the others must not be an epoch ahead of it.

    Spawned workers that are stopped while a batch is on its way may abort, whatever data set they
    read: PyTorch issue 38228.
    """
    shards = open_shards(made.glob)
    dataset = shards.to_torch(4, rows=True, drop_remainder=False)
    expected = [orders(shards.batches(4, rows=True, drop_remainder=False, start_epoch=n))
                for n in range(6)]  # fmt: skip
    batches = loader(dataset, 2, "forkserver", persistent_workers=persistent)
    for number in range(3):
        next(iter(batches))
        whole = orders(batches)
        assert sorted(whole) == sorted(expected[0])
        assert whole in expected[number : 2 * number + 2]


@given(
    loops=st.lists(
        st.tuples(st.sampled_from(["set", "loader", "reload"]), st.integers(0, 12)),
        max_size=8,
    )
)
@settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30
)
def test_a_loader_begins_a_pass_where_a_loop_over_the_set_goes_on(
    made: Made, loops: list[tuple[str, int]]
) -> None:
    shards = open_shards(made.glob)
    batches = [
        [rows.tolist() for *_, rows in shards.batches(5, rows=True, start_epoch=number)]
        for number in range(len(loops) + 2)
    ]
    steps = len(batches[0])
    dataset = shards.to_torch(5, rows=True)
    number, step, begun = 0, 0, False
    for kind, count in loops:
        if kind == "reload":  # a state, once loaded, is gone on from by either
            state = dataset.state_dict()
            dataset = shards.to_torch(5, rows=True)
            dataset.load_state_dict(state)
            begun = False
        by_loader = kind == "loader" or (kind == "reload" and count % 2)
        if step == steps or (by_loader and begun):
            number, step = number + 1, 0
        found = islice(loader(dataset, 0) if by_loader else dataset, count)
        assert [rows.tolist() for *_, rows in found] == batches[number][step : step + count]
        step, begun = min(step + count, steps), True


@pytest.mark.filterwarnings("ignore:This DataLoader will create 3 worker processes:UserWarning")
def test_passes_are_counted_for_any_number_of_workers(made: Made) -> None:
    shards = open_shards(made.glob)
    dataset = shards.to_torch(4, rows=True, drop_remainder=False)
    for number, workers in enumerate((2, 3, 0, 3, 1, 0, 2)):
        torch.manual_seed(5)  # so all iterations get one seed
        wanted = orders(shards.batches(4, rows=True, drop_remainder=False, start_epoch=number))
        assert orders(loader(dataset, workers)) == wanted


@pytest.mark.parametrize(
    ("workers", "given"), [(0, {}), (0, {"batch_size": 4, "drop_last": True}), (1, {})]
)
def test_a_loader_that_would_stack_batches_is_refused(
    made: Made, workers: int, given: dict[str, Any]
) -> None:
    batches = open_shards(made.glob).to_torch(5)
    with pytest.raises(OptionError, match="batch_size=None"):
        list(loaders.DataLoader(batches, num_workers=workers, **given))
    collect()  # the processes end with the iterator, which the error has held
    assert len(list(loader(batches, 0))) == len(batches)


def test_a_loader_with_a_collate_of_the_callers_own_is_not(made: Made) -> None:
    batches = open_shards(made.glob).to_torch(5)
    found = list(loaders.DataLoader(batches, batch_size=1, collate_fn=operator.itemgetter(0)))
    assert [len(x) for x, _ in found] == [5] * len(batches)


class Apart(loaders.IterableDataset):  # type: ignore[misc,name-defined]
    """The samples of batches, one by one."""

    def __init__(self, batches: Any) -> None:
        self.batches = batches

    def __iter__(self) -> Any:
        for x, _ in self.batches:
            yield from x


def test_a_loader_may_put_samples_together_again(made: Made) -> None:
    samples = Apart(open_shards(made.glob).to_torch(5))
    assert [len(x) for x in loaders.DataLoader(samples, batch_size=10)] == [10, 10, 10, 5]


@pytest.mark.filterwarnings("ignore:'set_vital' is deprecated:UserWarning")
def test_the_stateful_loader_is_refused_too(made: Made) -> None:
    stateful = pytest.importorskip("torchdata.stateful_dataloader")
    with pytest.raises(OptionError, match="batch_size=None"):
        next(iter(stateful.StatefulDataLoader(open_shards(made.glob).to_torch(5), batch_size=2)))
