from __future__ import annotations

import json
from itertools import islice
from typing import Any

import pytest

from reader import open_shards
from shardio.errors import DatasetError, OptionError
from tests.reader.datasets import Made, write_dataset

torch = pytest.importorskip("torch", reason="PyTorch is not installed")


def orders(batches: Any) -> list[list[int]]:
    return [[int(row) for row in rows] for _, _, rows in batches]


def dataset(made: Made, **options: Any) -> Any:
    chosen: dict[str, Any] = {"shuffle": "exact", "rows": True, "drop_remainder": False}
    chosen |= options
    if chosen["shuffle"] == "window":
        chosen |= {"block": 4, "window": 2}
    return open_shards(made.glob).to_torch(5, **chosen)


@pytest.mark.parametrize("epochs", [1, 2])
@pytest.mark.parametrize("shuffle", ["exact", "window", "none"])
def test_restored_at_every_step_this_pass_and_the_next_go_on(
    made: Made, shuffle: str, epochs: int
) -> None:
    whole = dataset(made, shuffle=shuffle, epochs=epochs)
    passes: list[list[list[int]]] = []
    states: list[tuple[int, int, dict[str, Any]]] = []
    for _ in range(3):
        states.append((len(passes), 0, json.loads(json.dumps(whole.state_dict()))))
        batches = []
        for batch in whole:
            batches += orders([batch])
            states.append((len(passes), len(batches), json.loads(json.dumps(whole.state_dict()))))
        passes.append(batches)
    assert [len(batches) for batches in passes] == [8 * epochs] * 3
    for number, step, state in states[: 2 * (8 * epochs + 1)]:
        again = dataset(made, shuffle=shuffle, epochs=epochs)
        again.load_state_dict(state)
        if step == 8 * epochs:  # the end of a pass begins the next one
            number, step = number + 1, 0
        else:
            assert again.state_dict() == state
        assert orders(again) == passes[number][step:]
        if number < 2:
            assert orders(again) == passes[number + 1]


@pytest.mark.jobs
def test_a_state_is_gone_on_from_once_by_processes_too(made: Made) -> None:
    """A set that took one in this process gave each iteration of a DataLoader the same rest."""
    whole = dataset(made)
    passes = [orders(whole), orders(whole)]
    first = dataset(made)
    orders(islice(first, 4))
    again = dataset(made)
    again.load_state_dict(first.state_dict())
    loader = torch.utils.data.DataLoader(
        again, batch_size=None, num_workers=2, multiprocessing_context="spawn"
    )
    assert orders(loader) == passes[0][4:]
    assert orders(loader) == passes[1]


def test_later_passes_go_on_in_the_order_of_the_state(made: Made) -> None:
    """Whatever order the one that takes it would have had by itself."""
    whole = dataset(made, shuffle="window", seed=5)
    first, second = orders(whole), orders(whole)
    again = dataset(made, shuffle="window", seed=5)
    orders(islice(again, 3))
    other = open_shards(made.glob).to_torch(5, rows=True, drop_remainder=False)
    other.load_state_dict(again.state_dict())
    assert orders(other) == first[3:]
    assert orders(other) == second


def test_a_stream_without_end_goes_on(made: Made) -> None:
    whole = dataset(made, epochs=None)
    expected = orders(islice(whole, 40))
    first = dataset(made, epochs=None)
    assert orders(islice(first, 11)) == expected[:11]
    state = first.state_dict()
    again = dataset(made, epochs=None)
    again.load_state_dict(state)
    assert orders(islice(again, 29)) == expected[11:]


def test_a_loader_without_processes_goes_on_too(made: Made) -> None:
    expected = orders(dataset(made))
    first = dataset(made)
    loader = torch.utils.data.DataLoader(first, batch_size=None)
    assert orders(islice(loader, 3)) == expected[:3]
    again = dataset(made)
    again.load_state_dict(first.state_dict())
    assert orders(torch.utils.data.DataLoader(again, batch_size=None)) == expected[3:]


def test_where_processes_have_the_position_it_is_not_made_up(made: Made) -> None:
    batches = dataset(made)
    loader = torch.utils.data.DataLoader(
        batches, batch_size=None, num_workers=2, multiprocessing_context="fork"
    )
    assert len(list(loader)) == 8
    with pytest.raises(OptionError, match="StatefulDataLoader"):
        batches.state_dict()


def test_a_wrong_state_is_refused(made: Made, tmp_path: Any) -> None:
    batches = dataset(made)
    with pytest.raises(OptionError, match="no state"):
        batches.load_state_dict({})
    other = write_dataset(tmp_path / "other", seed=3)
    with pytest.raises(DatasetError, match="another set of shards"):
        batches.load_state_dict(dataset(other).state_dict())
    late = dataset(made, start_epoch=4)
    with pytest.raises(OptionError, match="from epoch 4 on"):
        late.load_state_dict(batches.state_dict())


@pytest.mark.filterwarnings("ignore")  # torchdata touches deprecated names of torch
@pytest.mark.parametrize("workers", [0, 2])
def test_a_stateful_loader_goes_on_at_every_step(made: Made, workers: int) -> None:
    stateful = pytest.importorskip("torchdata.stateful_dataloader")

    def loader() -> Any:
        context = "fork" if workers else None
        return stateful.StatefulDataLoader(
            dataset(made), batch_size=None, num_workers=workers, multiprocessing_context=context
        )

    whole = loader()
    passes = [orders(whole) for _ in range(2)]
    for step in (1, 2, 3, 7):
        first = loader()
        iterator = iter(first)
        assert orders(islice(iterator, step)) == passes[0][:step]
        state = first.state_dict()
        del iterator
        again = loader()
        again.load_state_dict(state)
        assert orders(again) == passes[0][step:]
        assert orders(again) == passes[1]
